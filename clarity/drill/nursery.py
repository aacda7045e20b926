"""Nights as forks of a process that has imported all that a night needs: begun in a moment, killed as any other.

That process is ``clarity.drill.forks``; here is who asks it for nights, and hears of their ends.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from clarity.errors import DrillError

_START_S = 60.0


class Night:
    """One night, as ``subprocess.Popen`` shows a process."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None
        self._over = threading.Event()

    def poll(self) -> int | None:
        """Its exit code, as ``Popen`` gives it; None while it runs."""
        return self._code

    def wait(self, timeout: float | None = None) -> int | None:
        """Until it ends, or for ``timeout`` seconds; as ``poll``."""
        self._over.wait(timeout)
        return self._code

    def kill(self) -> None:
        """SIGKILL; nothing where it has ended."""
        if self._code is None:
            with suppress(ProcessLookupError):  # it has, a moment ago
                os.kill(self.pid, signal.SIGKILL)

    def end(self, code: int) -> None:
        """It has."""
        self._code = code
        self._over.set()


class Nursery:
    """The process that nights are forked from. Raises DrillError where it does not start, or has died."""

    def __init__(self, environment: Mapping[str, str], folder: Path, log: Path) -> None:
        self._log, self._nights, self._began = log, dict[int, Night](), queue.Queue[Night | None]()
        command = [sys.executable, "-m", "clarity.drill.forks"]
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                command, env=dict(environment), cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=out
            )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def start(self, module: str, *arguments: str, log: Path | None = None) -> Night:
        """Begin what ``python -m module arguments`` would. ``log`` takes what it says, instead of the nursery's."""
        request = json.dumps({"command": [module, *arguments], "log": str(log or self._log)})
        try:
            self._pipe.write(f"{request}\n".encode())
            self._pipe.flush()
            night = self._began.get(timeout=_START_S)
        except (OSError, ValueError, queue.Empty):
            night = None
        if night is None:
            raise DrillError(f"night of the drill: not begun, see {self._log}")
        return night

    def close(self) -> None:
        """End it; nights that still run are killed."""
        with suppress(BrokenPipeError):  # it has died
            self._pipe.close()
        self._listener.join()
        self._process.wait()

    @property
    def _pipe(self) -> Any:
        return self._process.stdin

    def _listen(self) -> None:
        answers: Any = self._process.stdout
        with answers:
            for line in answers:
                said = json.loads(line)
                if "began" in said:
                    night = self._nights[said["began"]] = Night(said["began"])
                    self._began.put(night)
                else:
                    self._nights.pop(said["ended"]).end(said["code"])
        self._began.put(None)
        for night in self._nights.values():  # the nursery is gone: nobody can tell how they end
            night.kill()
            night.end(-signal.SIGKILL)
