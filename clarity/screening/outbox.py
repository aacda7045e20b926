"""Which files of a folder go to the inbox, under which keys, and which do not, each with a sentence.

Nothing outside the folder is read: links that leave it, and links to folders, are refused; so is what is no plain file.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clarity.errors import InboxError
from clarity.screening.attribution import SIDECAR, is_attribution
from clarity.screening.manifests import NAME as MANIFEST
from clarity.storage import keys

PHOTOGRAPHS = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".dcm")
_UNFINISHED = (".part", ".partial", ".tmp", ".temp", ".crdownload", ".download", ".filepart", ".swp", "~")
_CLUTTER = ("thumbs.db", "desktop.ini", "__macosx")
_MAX_KEY = 1024
"""Bytes of a key in S3."""
_MAX_NAME = 255
"""Bytes of one name between slashes, as file systems and some stores have it."""


@dataclass(frozen=True, slots=True)
class File:
    """A file to be sent."""

    path: Path
    key: str
    size: int
    changed: int
    """Time of its last change, in nanoseconds."""

    @property
    def is_attribution(self) -> bool:
        """A sidecar or a manifest: goes before the photographs."""
        return is_attribution(self.key)


@dataclass(frozen=True, slots=True)
class Left:
    """A file that is not sent. ``failed`` where a person would have expected it to be."""

    name: str
    reason: str
    failed: bool


def walk(folder: Path, prefix: str, *, max_bytes: int) -> Iterator[File | Left]:
    """The files below a folder, in the order of their names, as keys below ``prefix``.

    Raises InboxError where the folder cannot be read.
    """
    if not folder.is_dir():
        raise InboxError(f"{folder}: not a folder")
    root = folder.resolve()
    for place, folders, names in os.walk(root, onerror=_unreadable if not os.access(root, os.R_OK | os.X_OK) else None):
        here = Path(place)
        for name in sorted(folders):
            if (here / name).is_symlink():
                yield Left(_relative(here / name, root), "a link to a folder, not followed", failed=True)
            elif not os.access(here / name, os.R_OK | os.X_OK):
                yield Left(_relative(here / name, root), "a folder that cannot be read", failed=True)
        folders[:] = sorted(name for name in folders if not (here / name).is_symlink() and not _is_clutter(name))
        for name in sorted(names):
            yield _judge(here / name, root, prefix, max_bytes)


def _judge(path: Path, root: Path, prefix: str, max_bytes: int) -> File | Left:
    name = _relative(path, root)
    try:
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            return Left(name, "a link that leaves the folder", failed=True)
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            return Left(name, "not a plain file", failed=True)
        if _is_clutter(path.name):
            return Left(name, "a temporary or hidden file", failed=False)
        key = prefix + name
        if reason := _bad_key(key):
            return Left(name, reason, failed=True)
        file = File(path, key, facts.st_size, facts.st_mtime_ns)
        if not _belongs(file):
            return Left(name, "no photograph, no sidecar and no manifest", failed=False)
    except OSError as error:
        return Left(name, f"{error.strerror}, it cannot be read", failed=True)
    if file.size > max_bytes:
        return Left(name, f"{file.size} bytes, more than the {max_bytes} that a photograph may have", failed=True)
    return file


def _belongs(file: File) -> bool:
    """A manifest, a sidecar of a photograph, or a photograph: by its name, else by its first bytes."""
    name = file.path.name.lower()
    if file.path.name == MANIFEST or name.endswith(PHOTOGRAPHS):
        return True
    if name.endswith(SIDECAR):
        photograph = file.path.with_name(file.path.name[: -len(SIDECAR)])
        return photograph.name.lower().endswith(PHOTOGRAPHS) or photograph.exists()
    with file.path.open("rb") as opened:
        return bool(keys.kind(opened.read(132))[0])


def _bad_key(key: str) -> str | None:
    try:
        encoded = key.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8, no store could keep it"
    if len(encoded) > _MAX_KEY or any(len(part.encode()) > _MAX_NAME for part in key.split("/")):
        return f"its name has {len(encoded)} bytes, too long for a store"
    if "\\" in key:
        return "a backslash in its name, which some stores take for a folder"
    return None


def _is_clutter(name: str) -> bool:
    folded = name.lower()
    return name.startswith((".", "~$")) or folded.endswith(_UNFINISHED) or folded in _CLUTTER


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _unreadable(error: OSError) -> None:
    raise InboxError(f"{error.filename}: {error.strerror}, the folder cannot be read")
