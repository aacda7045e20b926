"""One writer a workspace, across threads and processes; a dead holder's lock is gone with its process."""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clarity.errors import AlreadyRunning, WorkspaceError

_POLL_S = 0.2


class Lock:
    """An advisory lock on a file; the thread that holds it may take it again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = threading.RLock()
        self._depth = 0
        self._descriptor: int | None = None

    @property
    def descriptors(self) -> tuple[int, ...]:
        """To hand to a process that has to end before the lock is free (``pass_fds``); none where it is not held."""
        return () if self._descriptor is None else (self._descriptor,)

    @property
    def depth(self) -> int:
        """How often its holder has taken it; asked by the holder."""
        return self._depth

    @contextmanager
    def held(self, wait_s: float) -> Iterator[None]:
        """Hold the lock inside. Raises AlreadyRunning where another holder keeps it for longer than ``wait_s``."""
        until = time.monotonic() + wait_s
        if not self._thread.acquire(timeout=max(wait_s, 0.001)):
            raise AlreadyRunning(f"{self._path}: another task of this process writes to the workspace")
        try:
            if self._depth == 0:
                self._descriptor = self._take(until)
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0 and self._descriptor is not None:
                    os.close(self._descriptor)
                    self._descriptor = None
        finally:
            self._thread.release()

    def _take(self, until: float) -> int:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # not inheritable: a child that outlives us does not keep the workspace locked, unless it is handed over
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise WorkspaceError(f"{self._path}: {error.strerror}, the workspace cannot be locked") from None
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= until:
                    os.close(descriptor)
                    raise AlreadyRunning(f"{self._path}: another process writes to the workspace") from None
                time.sleep(_POLL_S)
            else:
                return descriptor
