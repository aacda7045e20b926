"""Whose photograph it is. Who says it, the first that does of each: a person who resolved it; a sidecar
``<object>.json``; a row of ``manifest.csv`` in the same folder; the DICOM tags; a pattern of file names; EXIF (time and
camera only).

Sidecar: {"patient": "A17", "eye": "left", "visit": "2026-11-22", "field": "macula", "captured_at": "2026-11-22T09:12Z",
"sha256": "3f0a…", "bytes": 812345}
Needed: patient, eye, and visit or captured_at. The patient is a pseudonymous id, never a name. Two of them that name
different eyes contradict each other, and a person decides; of two patients the first stands, as a clinic's sidecar
gives the pseudonym of whom the camera knows by a number of its own.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from clarity import patterns
from clarity.errors import InboxConflict, InboxError, InboxRefused, ObjectMissing
from clarity.screening import claims, tags
from clarity.screening.claims import Attribution
from clarity.screening.manifests import NAME as MANIFEST
from clarity.screening.manifests import Manifests
from clarity.storage.objects import Objects

SIDECAR = ".json"
_MAX_SIDECAR = 1024 * 1024
_PERSON, _SIDECAR, _ROW, _TAGS, _NAME, _EXIF = (
    "a person", "the sidecar", f"its row in {MANIFEST}", "the DICOM tags", "the file name", "the EXIF tags"
)  # fmt: skip


class Unattributed(InboxError):
    """Nobody says whose it is."""


@dataclass(frozen=True, slots=True)
class Said:
    """What is said of an object before its bytes are read: by whom, the first of them first."""

    sources: tuple[tuple[str, Mapping[str, Any]], ...]

    def check_size(self, size: int) -> None:
        """Raises InboxRefused: another number of bytes than was announced, so half-written or another file."""
        for source, values in self.sources:
            told = claims.text(values, "bytes")
            if told and told != str(size):
                raise InboxRefused(f"{size} bytes, and {source} announces {_digits(told)}: cut short, or another file")

    def check_content(self, sha256: str) -> None:
        """Raises InboxRefused: another photograph than was announced."""
        for source, values in self.sources:
            told = claims.text(values, "sha256").lower()
            if told and told != sha256:
                raise InboxRefused(f"sha256 {sha256[:12]}…, and {source} announces another: damaged, or another file")


def is_attribution(key: str) -> bool:
    """True for sidecars and manifests, which are no photographs."""
    return key.endswith(SIDECAR) or key.rpartition("/")[2] == MANIFEST


class Attributions:
    """Finds who says what of the objects of an inbox."""

    def __init__(
        self,
        objects: Objects,
        *,
        now: datetime,
        patterns: Sequence[str] = (),
        prefix: str = "inbox/",
        person: Mapping[str, str] | None = None,
    ) -> None:
        """``patterns`` are matched below ``prefix``. ``person``: what a person decided, which nothing contradicts."""
        self._objects, self._now = objects, now
        self._patterns, self._prefix = tuple(patterns), prefix
        self._person = person
        self._manifests = Manifests(objects)

    def said(self, key: str, *, sidecar: int | None = None) -> Said:
        """What is said before the bytes are read. ``sidecar``: its bytes, -1 for none, None where that is not known.

        Raises InboxError: the sidecar or the manifest cannot be read. StorageError.
        """
        if self._person is not None:
            return Said(((_PERSON, self._person),))
        found: list[tuple[str, Mapping[str, Any]]] = []
        told = self._sidecar(key, sidecar)
        if told is not None:
            found.append((_SIDECAR, told))
        if told is None or not (told.get("patient") and told.get("eye")):
            row = self._manifests.row(key)
            found += [(_ROW, row)] if row is not None else []
        name = patterns.match(key.removeprefix(self._prefix), self._patterns)
        return Said((*found, *([(_NAME, name)] if name else [])))

    def of(self, said: Said, data: bytes) -> Attribution:
        """Joined with what the file itself says.

        Raises Unattributed, InboxConflict where two name different eyes, InboxError where what is said is missing or
        out of range.
        """
        own = tags.of(data)
        dicom = tags.is_dicom(data)
        sources = list(said.sources)
        if dicom and own:
            at = next((i for i, (source, _) in enumerate(sources) if source == _NAME), len(sources))
            sources.insert(at, (_TAGS, own))
        if not any(values.get(name) for _, values in sources for name in ("patient", "eye")):
            raise Unattributed(
                f"no sidecar {SIDECAR} beside it, no row in {MANIFEST}, no pattern that fits its name, no DICOM tags: "
                "whose it is, is not known"
            )
        if self._person is None:
            _check_eyes(sources)
        if not dicom and own:
            sources.append((_EXIF, own))
        return claims.parse(self._joined(sources), now=self._now)

    def _joined(self, sources: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
        joined: dict[str, Any] = {}
        for source, values in sources:
            for name in (*patterns.GROUPS, "camera"):
                value = values.get(name)
                if value is None or value == "" or name in joined:
                    continue
                if name == "captured_at" and "visit" in joined and self._is_off(source, values):
                    continue
                joined[name] = value
        return joined

    def _is_off(self, source: str, values: Mapping[str, Any]) -> bool:
        """True where a camera's clock says what cannot be: no reason to refuse a photograph whose visit is known."""
        if source not in (_TAGS, _EXIF):
            return False
        try:
            claims.time(claims.text(values, "captured_at"), self._now)
        except InboxError:
            return True
        return False

    def _sidecar(self, key: str, known: int | None) -> Mapping[str, Any] | None:
        size = self._objects.size(key + SIDECAR) if known is None else known
        if size is None or size < 0:
            return None
        if size > _MAX_SIDECAR:
            raise InboxError(f"sidecar: {size} bytes, more than what is said of one photograph can have")
        try:
            data = self._objects.get(key + SIDECAR)
        except ObjectMissing:  # taken away between the two calls
            return None
        return sidecar(data)


def sidecar(data: bytes) -> Mapping[str, Any]:
    """A sidecar's values. Raises InboxError: not a JSON object."""
    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        raise InboxError(f"sidecar of {len(data)} bytes: not JSON") from None
    if not isinstance(values, dict):
        raise InboxError(f"sidecar: {type(values).__name__}, not a JSON object")
    return values


def _check_eyes(sources: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    told = [(source, claims.eye(claims.text(values, "eye"))) for source, values in sources if values.get("eye")]
    for source, eye in told[1:]:
        if eye != told[0][1]:
            raise InboxConflict(
                f"eye: {told[0][0]} says {told[0][1]}, {source} say{'' if source == _TAGS else 's'} {eye}"
            )


def _digits(told: str) -> str:
    return told if told.isdigit() else "no number"
