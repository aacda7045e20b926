"""``manifest.csv``: one row a photograph of its folder. Columns file, patient, eye; and visit, field, visit_type,
captured_at, camera, sha256, bytes where they are known.

A night comes back to one manifest for each of its chunks: the last few are kept by the process, as few bytes a row.
"""

import csv
import io
import threading
import unicodedata
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from clarity.errors import InboxError, ObjectMissing
from clarity.storage.objects import Objects

NAME = "manifest.csv"
_NEEDED = ("file", "patient", "eye")
_MAX_BYTES = 32 * 1024 * 1024
_MAX_ROWS = 250_000
_KEPT = 4


@dataclass(frozen=True, slots=True)
class Manifest:
    """The rows of one manifest, by file name."""

    columns: tuple[str, ...]
    rows: Mapping[str, tuple[str, ...]]

    def row(self, name: str) -> dict[str, str] | None:
        """What is said of a file; names are compared in Unicode's composed form, as folders of macOS decompose them."""
        values = self.rows.get(unicodedata.normalize("NFC", name))
        return None if values is None else dict(zip(self.columns, values, strict=False))


_NOTHING = Manifest((), {})
_kept: "OrderedDict[tuple[str, str, str], Manifest | str]" = OrderedDict()
_lock = threading.Lock()


class Manifests:
    """The manifests of an inbox; each is looked up once by one of these, and read once by a process."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._found: dict[str, tuple[str, str, str] | str | None] = {}

    def row(self, key: str) -> dict[str, str] | None:
        """The row of a photograph, None where there is none. Raises InboxError: the manifest cannot be used."""
        folder, _, name = key.rpartition("/")
        with _lock:  # threads that want the same manifest wait for one to read it
            return self._manifest(f"{folder}/{NAME}").row(name)

    def _manifest(self, key: str) -> Manifest:
        if key not in self._found:
            self._found[key] = self._identity(key)
        identity = self._found[key]
        if identity is None:
            return _NOTHING
        if isinstance(identity, str):
            raise InboxError(identity)
        if identity not in _kept:
            _kept[identity] = self._read(key)
            while len(_kept) > _KEPT:
                _kept.popitem(last=False)
        _kept.move_to_end(identity)
        kept = _kept[identity]
        if isinstance(kept, str):
            raise InboxError(kept)
        return kept

    def _identity(self, key: str) -> tuple[str, str, str] | str | None:
        entry = next((entry for entry in self._objects.list(key) if entry.key == key), None)
        if entry is not None and entry.size > _MAX_BYTES:
            return f"{NAME}: {entry.size} bytes, more than a list of photographs can have"
        return None if entry is None else (repr(self._objects), key, entry.etag)

    def _read(self, key: str) -> Manifest | str:
        try:
            return read(self._objects.get(key))
        except ObjectMissing:  # taken away between the two calls
            return _NOTHING
        except InboxError as error:
            return str(error)


def read(data: bytes) -> Manifest:
    """Raises InboxError: not CSV text, too many rows, a column missing or twice, one file twice."""
    try:
        table = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        columns = tuple(name.strip().lower() for name in next(table, ()))
        _check(columns)
        return Manifest(tuple(c for c in columns if c != "file"), _rows(table, columns.index("file")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InboxError(f"{NAME}: {type(error).__name__}, not CSV text in UTF-8") from None


def _check(columns: tuple[str, ...]) -> None:
    missing = [name for name in _NEEDED if name not in columns]
    if missing:  # what stands there instead is not repeated: where the heading is missing it is a patient's row
        raise InboxError(f"{NAME}: no column {', '.join(missing)} among its {len(columns)}")
    named = [name for name in columns if name]
    if len(set(named)) < len(named):
        raise InboxError(f"{NAME}: two columns of one name")


def _rows(table: Iterator[list[str]], at: int) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    common: dict[str, str] = {}  # eyes, visits and fields repeat: one text for all their rows
    for row in table:
        if not any(row):
            continue
        values = [common.setdefault(v, v) if len(common) < 10_000 else v for v in map(str.strip, row)]
        name = unicodedata.normalize("NFC", values.pop(at) if at < len(values) else "")
        if found.setdefault(name, tuple(values)) != tuple(values):
            raise InboxError(f"{NAME}: two different rows for {name}")
        if len(found) > _MAX_ROWS:
            raise InboxError(f"{NAME}: more than {_MAX_ROWS} rows, too long for one folder")
    return found
