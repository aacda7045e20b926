"""Whose photograph it is: from a sidecar ``<object>.json`` or a row of ``manifest.csv`` in the same folder.

Sidecar: {"patient": "A17", "eye": "left", "visit": "2026-11-22", "field": "macula", "captured_at": "2026-11-22T09:12Z"}
Manifest: file,patient,eye,field,visit,captured_at
Needed: patient, eye, and visit or captured_at. The patient is a pseudonymous id, never a name.
"""

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from clarity.errors import InboxError, ObjectMissing
from clarity.records import Eye
from clarity.storage.objects import Objects

MANIFEST = "manifest.csv"
SIDECAR = ".json"
_NEEDED = ("file", "patient", "eye")
_EYES = {"left": Eye.LEFT, "l": Eye.LEFT, "os": Eye.LEFT, "right": Eye.RIGHT, "r": Eye.RIGHT, "od": Eye.RIGHT}
_LONGEST = 128
_MAX_BYTES = 32 * 1024 * 1024
_FUTURE = timedelta(hours=26)
"""A clock may be wrong, and a camera's date may be that of another time zone; a day ahead is a mistake."""


@dataclass(frozen=True, slots=True)
class Attribution:
    """What a sidecar or a manifest's row says."""

    patient: str
    eye: Eye
    visit: str
    field: str
    captured_at: datetime | None


def is_attribution(key: str) -> bool:
    """True for sidecars and manifests, which are no photographs."""
    return key.endswith(SIDECAR) or key.rpartition("/")[2] == MANIFEST


class Attributions:
    """Finds attributions; the manifest of the folder at hand is read once and kept."""

    def __init__(self, objects: Objects, *, now: datetime) -> None:
        self._objects, self._now = objects, now
        self._folder: str | None = None
        self._rows: dict[str, dict[str, str]] | InboxError = {}

    def of(self, key: str) -> Attribution:
        """The attribution of a photograph: its sidecar's, else its manifest row's.

        Raises InboxError: there is none, it cannot be read, or what it says is missing or out of range. StorageError.
        """
        sidecar = self._sidecar(key)
        if sidecar is not None:
            return parse(sidecar, now=self._now)
        folder, _, name = key.rpartition("/")
        if folder != self._folder:
            self._rows, self._folder = self._manifest(folder), folder
        if isinstance(self._rows, InboxError):
            raise self._rows
        if name not in self._rows:
            raise InboxError(f"no {name}{SIDECAR} beside it and no row in {MANIFEST}: whose it is, is not known")
        return parse(self._rows[name], now=self._now)

    def _sidecar(self, key: str) -> Mapping[str, Any] | None:
        data = self._read(key + SIDECAR)
        if data is None:
            return None
        try:
            values = json.loads(data)
        except (ValueError, RecursionError):
            raise InboxError(f"sidecar of {len(data)} bytes: not JSON") from None
        if not isinstance(values, dict):
            raise InboxError(f"sidecar: {type(values).__name__}, not a JSON object")
        return values

    def _manifest(self, folder: str) -> dict[str, dict[str, str]] | InboxError:
        try:
            data = self._read(f"{folder}/{MANIFEST}")
            return {} if data is None else rows(data)
        except InboxError as error:
            return error

    def _read(self, key: str) -> bytes | None:
        size = self._objects.size(key)
        if size is None:
            return None
        if size > _MAX_BYTES:
            raise InboxError(f"{key.rpartition('/')[2]}: {size} bytes, more than a list of photographs can have")
        try:
            return self._objects.get(key)
        except ObjectMissing:  # taken away between the two calls
            return None


def rows(data: bytes) -> dict[str, dict[str, str]]:
    """A manifest's rows by file name. Raises InboxError: not CSV text, a column missing, one file twice."""
    try:
        reader = csv.DictReader(io.StringIO(data.decode("utf-8-sig")), strict=True)
        named = [{(k or "").strip().lower(): (v or "").strip() for k, v in row.items() if k} for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InboxError(f"{MANIFEST}: {type(error).__name__}, not CSV text in UTF-8") from None
    columns = [(name or "").strip().lower() for name in reader.fieldnames or []]
    missing = [name for name in _NEEDED if name not in columns]
    if missing:
        raise InboxError(f"{MANIFEST}: no column {', '.join(missing)} among {', '.join(columns) or 'none'}")
    found: dict[str, dict[str, str]] = {}
    for row in named:
        if found.setdefault(row["file"], row) != row:
            raise InboxError(f"{MANIFEST}: two different rows for {row['file']}")
    return found


def parse(values: Mapping[str, Any], *, now: datetime) -> Attribution:
    """Check what a sidecar or a row says. Raises InboxError with the field, its value and the verdict."""
    eye = _EYES.get(_text(values, "eye").lower())
    if eye is None:
        raise InboxError(f"eye {_text(values, 'eye')!r}: not left or right")
    captured_at = _time(_text(values, "captured_at"), now)
    visit = _text(values, "visit") or (captured_at.date().isoformat() if captured_at else "")
    if not visit:
        raise InboxError("visit and captured_at: both missing, the visit is not known")
    patient = _text(values, "patient")
    if not patient:
        raise InboxError("patient: missing")
    return Attribution(patient, eye, visit, _text(values, "field") or "unknown", captured_at)


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InboxError(f"{name}: {type(value).__name__}, not text")
    text = str(value).strip()
    if len(text) > _LONGEST or not text.isprintable():
        raise InboxError(f"{name}: {len(text)} characters, too long or not printable")
    return text


def _time(text: str, now: datetime) -> datetime | None:
    """ISO 8601; a time without a zone is taken as UTC, which moves it by hours at most."""
    if not text:
        return None
    try:
        read = datetime.fromisoformat(text)
        time = (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InboxError(f"captured_at {text!r}: not an ISO 8601 time") from None
    if time > now + _FUTURE:
        raise InboxError(f"captured_at {text!r}: in the future")
    return time
