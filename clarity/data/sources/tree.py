"""A folder of files, on disk or under an ``s3://`` prefix, as adapters see it: names and bytes, nothing else."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Protocol

from clarity.errors import SourceError, StorageError
from clarity.settings import Settings
from clarity.storage.objects import Objects

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".dcm"})


class Tree(Protocol):
    """Files below one root; names are relative, with forward slashes."""

    @property
    def place(self) -> str:
        """For messages."""

    @property
    def files(self) -> dict[str, str]:
        """Every file's name, sorted, with a stamp that changes when the file does."""

    def reader(self, name: str) -> Callable[[], bytes]:
        """A picklable call that gives one file's bytes."""


@dataclass(frozen=True)
class FileBytes:
    """Reads one local file. OSError where it cannot."""

    path: Path

    def __call__(self) -> bytes:
        """The whole file."""
        return self.path.read_bytes()


@dataclass(frozen=True)
class ObjectBytes:
    """Reads one object; its client is made in the process that reads."""

    objects: Objects
    key: str

    def __call__(self) -> bytes:
        """The whole object. Raises StorageError."""
        return self.objects.get(self.key)


class LocalTree:
    """A folder on disk. Raises SourceError where a folder is absent or may not be read."""

    def __init__(self, root: Path) -> None:
        if not root.exists():
            raise SourceError(f"{root}: there is no such folder or file")
        self.root = root

    @property
    def place(self) -> str:
        """The folder's path."""
        return str(self.root)

    @cached_property
    def files(self) -> dict[str, str]:
        """Name to "size-mtime"."""
        if self.root.is_file():
            return {self.root.name: _stamp(self.root)}
        found: dict[str, str] = {}
        stack = [self.root]
        while stack:
            try:
                with os.scandir(stack.pop()) as entries:
                    for entry in entries:
                        if entry.name.startswith("."):
                            continue
                        if entry.is_dir():
                            stack.append(Path(entry.path))
                        else:
                            found[Path(entry.path).relative_to(self.root).as_posix()] = _stamp(entry)
            except OSError as error:
                raise SourceError(f"{error.filename}: {error.strerror}, the folder cannot be read") from None
        return dict(sorted(found.items()))

    def reader(self, name: str) -> FileBytes:
        """Reads a file of this tree."""
        return FileBytes(self.root if self.root.is_file() else self.root / name)


class ObjectTree:
    """Objects under ``s3://bucket/prefix``. Raises SourceError where nothing lies there."""

    def __init__(self, url: str, settings: Settings) -> None:
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        if not bucket:
            raise SourceError(f"{url}: no bucket, write s3://bucket/prefix")
        self.place = url
        self._prefix = prefix.rstrip("/") + "/" if prefix else ""
        self._settings, self._bucket = settings, bucket
        self._unused = Objects(settings, bucket=bucket)  # without a client, so that readers pickle

    @cached_property
    def files(self) -> dict[str, str]:
        """Name to "size-etag"."""
        try:
            entries = list(Objects(self._settings, bucket=self._bucket).list(self._prefix))
        except StorageError as error:
            raise SourceError(f"{self.place}: cannot be listed ({error})") from None
        if not entries:
            raise SourceError(f"{self.place}: no objects under this prefix")
        return {e.key.removeprefix(self._prefix): f"{e.size}-{e.etag}" for e in entries if not e.key.endswith("/")}

    def reader(self, name: str) -> ObjectBytes:
        """Reads an object of this tree."""
        return ObjectBytes(self._unused, self._prefix + name)


def is_image(name: str) -> bool:
    """By its suffix; what is in it is judged when it is decoded."""
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def plant(path: str | Path, settings: Settings | None = None) -> Tree:
    """A tree for a folder, a file or an ``s3://`` URL; the latter needs settings."""
    if str(path).startswith("s3://"):
        return ObjectTree(str(path), settings or Settings())
    return LocalTree(Path(path))


def _stamp(file: os.DirEntry[str] | Path) -> str:
    try:
        stat = file.stat()
    except OSError:  # a link to nowhere: told when it is read
        return ""
    return f"{stat.st_size}-{stat.st_mtime_ns}"
