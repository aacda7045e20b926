"""DVC as a child process that runs one command after the other, and ends with this process, whatever ends that."""

import contextlib
import json
import secrets
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from clarity.data import dvc_commands, leash
from clarity.errors import WorkspaceError

_GRACE_S = 15.0
"""For a stage to end in order once its run is stopped: a batch, and telling MLflow."""
_LAST = 12


class Dvc:
    """DVC in one folder, for one thread. Its end is its maker's to call."""

    def __init__(self, path: Path, environment: Mapping[str, str], descriptors: Sequence[int]) -> None:
        """Start it. ``descriptors``: files that stay open, and locked, until all that it has started is over.

        Raises WorkspaceError where it cannot be started.
        """
        self._path, self._token = path, secrets.token_hex(16)
        program = (sys.executable, "-I", "-u", dvc_commands.__file__, self._token)
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-I", leash.__file__, str(_GRACE_S), *program],
                cwd=path, env=dict(environment), text=True, encoding="utf-8", errors="replace", bufsize=1,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                start_new_session=True, pass_fds=tuple(descriptors),
            )  # fmt: skip
        except OSError as error:
            raise WorkspaceError(f"{path}: DVC cannot be started ({error.strerror})") from None

    @property
    def runs(self) -> bool:
        """False once it has ended: by itself, or because a command was left in the middle."""
        return self._child.poll() is None

    def run(self, *arguments: str, on_line: Callable[[str], None]) -> list[str]:
        """Run one command and give its lines, each also to ``on_line`` as it comes; what that raises ends it all.

        Raises WorkspaceError with the command, its exit code and last lines.
        """
        lines: list[str] = []
        try:
            self._say(arguments)
            for line in self._child.stdout or ():
                text, over, code = line.rstrip().partition(self._token)
                if text or not over:
                    lines.append(text)
                    on_line(text)
                if over:
                    break
            else:
                code = str(self._child.wait())
        except BaseException:
            self._child.communicate()  # lets go, and waits until all of them have ended
            raise
        if code != "0":
            said = " | ".join(line for line in lines[-_LAST:] if line) or "no output"
            raise WorkspaceError(f"{self._path}: `dvc {' '.join(arguments)}` ended with {code}: {said}")
        return lines

    def end(self) -> None:
        """End it; harmless where it has ended."""
        # of one that ended as it was spoken to, what was said is still to be written
        with contextlib.suppress(BrokenPipeError), self._child as child:
            if self.runs:
                self._say(())
                child.wait()

    def _say(self, arguments: Sequence[str]) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has ended, which its output tells
            self._child.stdin.write(json.dumps(arguments) + "\n")  # type: ignore[union-attr]
