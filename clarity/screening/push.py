"""A folder into the inbox: sidecars and manifests first, what is there already not again, what is half-written not yet.

A night that begins in the middle never sees a photograph before what is said of it. A push that was stopped goes on
where it was: what the inbox has with the same content is not sent again.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from clarity.errors import StorageError, StorageUnavailable
from clarity.screening import outbox
from clarity.screening.ahead import ahead
from clarity.screening.attribution import SIDECAR
from clarity.screening.manifests import NAME as MANIFEST
from clarity.screening.outbox import File, Left
from clarity.screening.room import Room
from clarity.storage.objects import Objects

_PARALLEL = 8
_ROOM = 128 * 1024 * 1024
"""Bytes in memory at once."""

Progress = Callable[[int, int], None]
"""Called with (files done, files in all)."""
_Result = Literal["sent", "there"] | Left


@dataclass(slots=True)
class Pushed:
    """What became of a folder's files."""

    sent: int = 0
    there: int = 0
    """In the inbox already, with the same content."""
    waiting: int = 0
    """Still being written, or their sidecar or manifest is, as far as can be seen."""
    left: list[Left] = field(default_factory=list)

    @property
    def failed(self) -> list[Left]:
        """Those that a person would have expected to be sent."""
        return [one for one in self.left if one.failed]

    def add(self, result: _Result) -> None:
        """Count one file."""
        if isinstance(result, Left):
            self.left.append(result)
        elif result == "sent":
            self.sent += 1
        else:
            self.there += 1


class Push:
    """Sends one folder, as often as it is asked to; remembers what it has sent, so that another look is cheap."""

    def __init__(self, objects: Objects, folder: Path, prefix: str, *, max_bytes: int) -> None:
        """``prefix``: where in the bucket the folder's files go, for example ``inbox/clinic-7/``."""
        self._objects, self._folder, self._prefix, self._max_bytes = objects, folder, prefix, max_bytes
        self._there: dict[str, tuple[int, str]] | None = None
        self._done: dict[str, tuple[int, int]] = {}
        self._looked: dict[str, tuple[int, int]] = {}
        self._room = Room(max(_ROOM, max_bytes))

    def once(self, *, settled: bool = False, progress: Progress | None = None) -> Pushed:
        """Send what is not in the inbox yet. ``settled``: only files that the call before found the same.

        Raises InboxError where the folder cannot be read, StorageUnavailable; what was sent stays sent.
        """
        if self._there is None:
            self._there = {entry.key: (entry.size, entry.etag) for entry in self._objects.list(self._prefix)}
        pushed, files = Pushed(), list[File]()
        for one in outbox.walk(self._folder, self._prefix, max_bytes=self._max_bytes):
            if isinstance(one, File):
                files.append(one)
            else:
                pushed.left.append(one)
        ready = self._settled(files) if settled else files
        pushed.waiting = len(files) - len(ready)
        blocked = {self._prefix + one.name for one in pushed.failed}
        for done, result in enumerate(self._send_all(ready, blocked), start=1):
            pushed.add(result)
            if progress is not None:
                progress(done, len(ready))
        return pushed

    def watch(self, seen: Callable[[Pushed], None], *, every_s: float = 2.0) -> None:
        """Look again and again, until interrupted; what is being written is left until two looks find it the same.

        A store that is away is waited for. Raises InboxError where the folder cannot be read.
        """
        while True:
            try:
                seen(self.once(settled=True))
            except StorageUnavailable as error:
                seen(Pushed(left=[Left(str(self._folder), f"{error}; tried again", failed=False)]))
            time.sleep(every_s)

    def _settled(self, files: list[File]) -> list[File]:
        """Files of the same size and time of change as at the last look; clocks are compared with themselves only."""
        now = {file.key: (file.size, file.changed) for file in files}
        moving = {key for key, facts in now.items() if self._looked.get(key) != facts}
        self._looked = now
        return [file for file in files if file.key not in moving and not moving & _said_by(file.key)]

    def _send_all(self, files: list[File], blocked: set[str]) -> Iterator[_Result]:
        """Sidecars and manifests, then photographs: none of those whose sidecar or manifest could not be sent."""
        with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="push") as pool:
            for result in ahead(pool, self._send, (f for f in files if f.is_attribution), limit=2 * _PARALLEL):
                if isinstance(result, Left):
                    blocked.add(self._prefix + result.name)
                yield result
            photographs = (file for file in files if not file.is_attribution)
            yield from ahead(pool, lambda file: self._send(file, blocked), photographs, limit=2 * _PARALLEL)

    def _send(self, file: File, blocked: frozenset[str] | set[str] = frozenset()) -> _Result:
        name = file.key.removeprefix(self._prefix)
        facts = (file.size, file.changed)
        if not file.is_attribution and blocked & _said_by(file.key):
            return Left(name, "its sidecar or manifest could not be sent, so neither is it", failed=True)
        if self._done.get(file.key) == facts:
            return "there"
        try:
            with self._room.of(file.size):
                result = self._put(file)
        except OSError as error:
            return Left(name, f"{error.strerror}, it cannot be read", failed=True)
        except StorageUnavailable:
            raise
        except StorageError as error:
            return Left(name, str(error), failed=True)
        if result is None:
            return Left(name, "it changed while it was read; push again", failed=True)
        self._done[file.key] = facts
        return result

    def _put(self, file: File) -> Literal["sent", "there"] | None:
        with file.path.open("rb") as opened:
            data = opened.read(file.size + 1)
        after = file.path.stat()
        if len(data) != file.size or (after.st_size, after.st_mtime_ns) != (file.size, file.changed):
            return None
        content = (file.size, hashlib.md5(data, usedforsecurity=False).hexdigest())  # what a store's etag is
        there = self._there or {}
        if there.get(file.key) == content:
            return "there"
        self._objects.put(file.key, data)
        there[file.key] = content
        return "sent"


def _said_by(key: str) -> frozenset[str]:
    """The keys of a photograph's sidecar and of its folder's manifest."""
    return frozenset((key + SIDECAR, f"{key.rpartition('/')[0]}/{MANIFEST}"))
