"""What may be said of a photograph, and what is refused: patient, eye, visit, field, visit type, time, camera.

Sentences never repeat what was said, except where it cannot be a person's: a column that slipped puts a name anywhere.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from clarity.errors import InboxError
from clarity.records import Eye

_EYES = {
    **dict.fromkeys(("left", "l", "os", "le"), Eye.LEFT),
    **dict.fromkeys(("right", "r", "od", "re"), Eye.RIGHT),
}
_NEITHER = ("both", "b", "ou", "unknown", "u", "none", "l/r")
_LONGEST = 128
_FUTURE = timedelta(hours=26)
"""A clock may be wrong, and a camera's date may be that of another time zone; a day ahead is a mistake."""
_EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
"""Before digital fundus cameras: a clock that was never set says 1970 or 1980."""
_PSEUDONYM = re.compile(r"[^\W_][\w.:/#+=-]*")
_COMPACT = re.compile(r"(\d{8})(?:[-_T ]?(\d{4}|\d{6}))?")
_TIME_LIKE = re.compile(r"[\d:TZ.+ -]*")


@dataclass(frozen=True, slots=True)
class Attribution:
    """Whose photograph it is, and what else was said of it."""

    patient: str
    eye: Eye
    visit: str
    field: str = "unknown"
    visit_type: str = "screening"
    captured_at: datetime | None = None
    camera: str | None = None


def parse(values: Mapping[str, Any], *, now: datetime) -> Attribution:
    """Check what a sidecar, a row, a file's tags or a person says.

    Raises InboxError with the subject and the verdict.
    """
    said = eye(text(values, "eye"))
    told = time(text(values, "captured_at"), now)
    visit = text(values, "visit") or (told.date().isoformat() if told else "")
    if not visit:
        raise InboxError("visit and captured_at: both missing, the visit is not known")
    return Attribution(
        patient(text(values, "patient")),
        said,
        visit,
        text(values, "field") or "unknown",
        text(values, "visit_type") or "screening",
        told.astimezone(UTC) if told else None,
        text(values, "camera") or None,
    )


def patient(said: str) -> str:
    """A pseudonymous id: letters, digits and . : / # + = - _ without spaces, of any script.

    So an e-mail address, "Doe^Jane", "Doe, Jane" and "Jane Doe" are refused, and a telephone number with its +. A name
    of one word cannot be told from an id: who fills the sidecars answers for that. Raises InboxError.
    """
    if not said:
        raise InboxError("patient: missing")
    if not _PSEUDONYM.fullmatch(said):
        raise InboxError(
            f"patient: {len(said)} characters that are no pseudonymous id (letters, digits and . : / # + = - _, "
            "no spaces; never a name or an address)"
        )
    return said


def eye(said: str) -> Eye:
    """left, right, L, R, OS, OD, LE or RE in any case. Raises InboxError."""
    found = _EYES.get(said.lower())
    if found is None:
        subject = repr(said) if said.lower() in _NEITHER else f"{len(said)} characters" if said else "missing"
        raise InboxError(f"eye: {subject}, not left or right")
    return found


def time(said: str, now: datetime) -> datetime | None:
    """ISO 8601, or the digits alone (20261122, 20261122-091500), in the zone that it names; UTC where it names none.

    Without a zone it is off by some hours at most, and by one more in the night in which clocks are set back; the
    visit's day is the day as written, so that neither tears a visit in two. Raises InboxError.
    """
    if not said:
        return None
    shown = repr(said) if _TIME_LIKE.fullmatch(said) and len(said) < 40 else f"of {len(said)} characters"
    compact = _COMPACT.fullmatch(said)
    try:
        read = datetime.fromisoformat(f"{compact[1]}T{compact[2] or '0000'}" if compact else said)
        told = read if read.tzinfo else read.replace(tzinfo=UTC)
        told.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InboxError(f"captured_at {shown}: not an ISO 8601 time") from None
    if told > now + _FUTURE:
        raise InboxError(f"captured_at {shown}: in the future")
    if told < _EARLIEST:
        raise InboxError(f"captured_at {shown}: before there were digital cameras, a clock that was never set")
    return told


def text(values: Mapping[str, Any], name: str) -> str:
    """A value as trimmed text, empty where there is none. Raises InboxError: of another type, too long, unprintable."""
    value = values.get(name)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InboxError(f"{name}: {type(value).__name__}, not text")
    if isinstance(value, int) and not -(10**18) < value < 10**18:  # str() of a huge one is refused by Python itself
        raise InboxError(f"{name}: a number of too many digits")
    trimmed = str(value).strip()
    if len(trimmed) > _LONGEST or not trimmed.isprintable():
        raise InboxError(f"{name}: {len(trimmed)} characters, too long or not printable")
    return trimmed
