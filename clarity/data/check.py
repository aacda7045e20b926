"""One photograph of a source, in a worker process: read once, hashed, decoded once, copied under its content hash."""

import errno
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from clarity.data.likeness import likeness
from clarity.data.manifest import photograph_path
from clarity.data.sources.row import SourceRow
from clarity.errors import ClarityError, StorageUnavailable
from clarity.imaging import decode
from clarity.params import ImagingParams

_OURS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG})


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found out about one row; ``problem`` says why it goes to quarantine."""

    sha256: str = ""
    phash: str = ""
    detail: str = ""
    width: int | None = None
    height: int | None = None
    bytes: int | None = None
    suffix: str = ""
    problem: str = ""
    fatal: str = ""
    """Not this photograph's fault: the disk is full, the store is away. Ends the ingest."""


@dataclass(frozen=True)
class Checker:
    """Checks rows against the imaging limits and copies good photographs below ``staging``.

    ``known``: hashes that the data set already has; they need neither decoding nor copying. None: nothing is copied.
    """

    staging: Path | None
    imaging: ImagingParams
    known: frozenset[str] = frozenset()

    def __call__(self, row: SourceRow) -> Checked:
        """Never raises for a bad photograph."""
        if row.read is None:
            return Checked(problem=row.problem or "the table names it, and there is no such file")
        try:
            data = row.read()
        except StorageUnavailable as error:
            return Checked(fatal=str(error))
        except (OSError, ClarityError) as error:
            return Checked(problem=f"cannot be read: {getattr(error, 'strerror', None) or error}")
        sha = hashlib.sha256(data).hexdigest()
        suffix = _suffix(row.name)
        if row.problem:
            return Checked(sha256=sha, bytes=len(data), suffix=suffix, problem=row.problem)
        if sha in self.known:
            return Checked(sha256=sha)
        return self._look(sha, data, suffix)

    def _look(self, sha: str, data: bytes, suffix: str) -> Checked:
        try:
            image = decode(data, self.imaging)
        except ClarityError as error:
            return Checked(sha256=sha, bytes=len(data), suffix=suffix, problem=str(error))
        height, width = image.shape[:2]
        alike = likeness(image)
        try:
            self._keep(sha, suffix, data)
        except OSError as error:
            if error.errno in _OURS:
                return Checked(fatal=f"{self.staging}: {error.strerror}, {len(data)} bytes cannot be written")
            raise
        return Checked(sha, alike.phash, alike.detail, width, height, len(data), suffix)

    def _keep(self, sha: str, suffix: str, data: bytes) -> None:
        if self.staging is None:
            return
        target = self.staging / photograph_path(sha, suffix)
        if target.exists() and target.stat().st_size == len(data):
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            temporary.write_bytes(data)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


def _suffix(name: str) -> str:
    suffix = PurePosixPath(name).suffix.lower()
    return ".jpg" if suffix == ".jpeg" else suffix
