"""Nights as forks of a process that has imported all that a night needs: begun in a moment, killed as any other.

``python -m clarity.drill.nursery`` reads a request a line (JSON: ``command``, a module and its arguments as after
``python -m``, and ``log``, a file) and answers on its output, a line of JSON each: ``{"began": pid}`` at once,
``{"ended": pid, "code": code}`` later. It runs in one thread and has its modules: no connection, no model, nothing that
forks must not share.
"""

import json
import os
import queue
import runpy
import selectors
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
_LOOK_S = 0.02


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
        command = [sys.executable, "-m", "clarity.drill.nursery"]
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


def main() -> None:
    """Fork a process at each request and tell of its end, until no more can come."""
    _learn()
    command = _forked()
    if command is not None:  # in one of them: it runs and ends as any process does
        sys.argv[1:] = command[1:]
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)


def _learn() -> None:
    """Import what a night imports, also what it would import on its way: its forks have it then."""
    import matplotlib.figure  # noqa: F401
    import psycopg  # noqa: F401

    import flows.screen
    import flows.screening_steps  # noqa: F401
    from clarity.inference import openvino_cpu, processor  # noqa: F401
    from clarity.registry import tracking

    tracking.library()
    processor.openvino()


def _forked() -> list[str] | None:
    """Returns in each fork with its command, and at the end in the nursery with None."""
    requests = open(0, "rb", buffering=0)  # noqa: SIM115  a buffer would hide a second request from the selector
    waiting = selectors.DefaultSelector()
    waiting.register(requests, selectors.EVENT_READ)
    while True:
        if waiting.select(_LOOK_S):
            line = requests.readline()
            if not line:
                return None
            request = json.loads(line)
            if not (pid := os.fork()):
                _detach(request["log"])
                command: list[str] = request["command"]
                return command
            _say(began=pid)
        with suppress(ChildProcessError):  # there is none
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                _say(ended=ended[0], code=os.waitstatus_to_exitcode(ended[1]))


def _detach(log: str) -> None:
    os.setsid()
    written = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for stream, taken in ((0, os.open(os.devnull, os.O_RDONLY)), (1, written), (2, written)):
        os.dup2(taken, stream)


def _say(**said: int) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
