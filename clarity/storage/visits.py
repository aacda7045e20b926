"""When a visit was, as far as clocks can be believed. Pure."""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

_OTHER_ZONE = timedelta(hours=26)
"""A camera's time may be that of any zone and lack its name."""
_EARLIEST = date(2000, 1, 2)
"""What a camera says whose clock was never set: 1970, 1980 or 2000-01-01."""
_DATE = re.compile(r"(?<!\d)\d{4}-\d{2}-\d{2}(?!\d)")

Times = tuple[datetime | None, datetime | None]
"""Of a capture: when its camera says that it was taken, and when Clarity registered it."""


def visited_on(visit: str, times: Iterable[Times]) -> date | None:
    """The day of a visit: the latest believable capture time, else a date in the visit's name, else its registration.

    No capture is younger than its registration, so a camera that runs ahead cannot postpone what is due; a date that
    lies in the past can only hasten it. UTC. None where nothing is known.
    """
    known = list(times)
    registered = max((at.astimezone(UTC) for _, at in known if at is not None), default=None)
    taken = [day for captured, at in known if captured and (day := _believable(captured, at)) is not None]
    if taken:
        return max(taken)
    named = _named(visit)
    if named is not None and named >= _EARLIEST and (registered is None or named <= (registered + _OTHER_ZONE).date()):
        return named if registered is None else min(named, registered.date())
    return registered.date() if registered else None


def _believable(captured: datetime, registered: datetime | None) -> date | None:
    day = captured.astimezone(UTC).date()
    if day < _EARLIEST or (registered is not None and captured > registered + _OTHER_ZONE):
        return None
    return day if registered is None else min(day, registered.astimezone(UTC).date())


def _named(visit: str) -> date | None:
    for text in _DATE.findall(visit):
        try:
            return date.fromisoformat(text)
        except ValueError:
            continue
    return None
