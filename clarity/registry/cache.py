"""Bundles on this machine's disk: downloaded once, checked on every use, whole or not there."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from clarity.errors import BundleError
from clarity.inference.bundle import Bundle


def place(cache_dir: Path, name: str, version: str, digest: str) -> Path:
    """Where a version's bundle lies, if it lies here."""
    return cache_dir / name / f"{version}-{digest[:16]}"


def fetch(target: Path, digest: str, download: Callable[[Path], Path]) -> Path:
    """``target`` where a sound bundle of that digest is there, otherwise what ``download(scratch)`` brings.

    Any number of processes may do so at once: a download goes to a folder of its own beside the target and appears
    by one rename. A damaged copy is replaced. Raises BundleError where what was downloaded is not the bundle either.
    """
    if target.is_dir():
        try:
            return _checked(target, digest)
        except BundleError:
            _discard(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=target.parent) as scratch:
        draft = _checked(download(Path(scratch)), digest)
        try:
            draft.rename(target)
        except OSError:  # another process was first; its copy went through the same checks
            _checked(target, digest)
    return target


def _checked(folder: Path, digest: str) -> Path:
    found = Bundle.load(folder).digest
    if found != digest:
        raise BundleError(f"{folder}: bundle {found[:16]}…, registered was {digest[:16]}…; altered in the store")
    return folder


def _discard(folder: Path) -> None:
    """Take a folder away by one rename, then delete it: nobody meets it half deleted."""
    with tempfile.TemporaryDirectory(prefix=".discarded-", dir=folder.parent) as scratch:
        try:
            folder.rename(Path(scratch) / "bundle")
        except FileNotFoundError:  # another process did the same
            return
