"""The day of a visit, from clocks that lie."""

from datetime import UTC, date, datetime, timedelta, timezone
from itertools import permutations

import pytest

from clarity.storage.visits import visited_on

REGISTERED = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("visit", "captured", "day"),
    [
        ("v1", "2026-11-21T09:00:00+00:00", "2026-11-21"),
        ("2026-11-20", "2026-11-21T09:00:00+00:00", "2026-11-21"),
        ("2026-11-20", None, "2026-11-20"),
        ("site-4/2026-11-20 b", None, "2026-11-20"),
        ("v1", None, "2026-11-22"),
        ("2026-13-45", None, "2026-11-22"),
        ("12026-11-200", None, "2026-11-22"),
        ("v1", "2026-11-22T20:00:00+00:00", "2026-11-22"),  # hours ahead: another zone, but not a later day
        ("v1", "2026-11-23T01:00:00+00:00", "2026-11-22"),
        ("v1", "2027-11-22T02:00:00+00:00", "2026-11-22"),  # a year ahead: not believed
        ("2026-11-20", "2027-11-22T02:00:00+00:00", "2026-11-20"),
        ("2030-01-01", None, "2026-11-22"),
        ("v1", "1970-01-01T00:00:00+00:00", "2026-11-22"),  # clocks that were never set
        ("v1", "1980-01-01T00:00:00+00:00", "2026-11-22"),
        ("2026-11-20", "2000-01-01T00:00:10+00:00", "2026-11-20"),
        ("v1", "2003-05-06T09:00:00+00:00", "2003-05-06"),  # a backlog is as old as it is
        ("v1", "2026-11-21T23:30:00-05:00", "2026-11-22"),  # UTC
        ("v1", "2026-10-25T01:30:00+02:00", "2026-10-24"),  # the night that an hour is repeated
        ("v1", "9999-12-31T23:59:59+00:00", "2026-11-22"),
    ],
)
def test_the_day_of_a_visit(visit: str, captured: str | None, day: str) -> None:
    taken = at(captured) if captured else None
    assert visited_on(visit, [(taken, REGISTERED)]) == date.fromisoformat(day)


def test_the_latest_believable_capture_decides_whatever_the_order() -> None:
    times = [
        (at("2000-01-01T00:00:00+00:00"), REGISTERED),
        (at("2026-11-21T09:00:00+00:00"), REGISTERED),
        (at("2026-11-20T09:00:00+00:00"), REGISTERED),
        (at("2031-01-01T00:00:00+00:00"), REGISTERED),
        (None, REGISTERED),
    ]
    assert {visited_on("v", order) for order in permutations(times)} == {date(2026, 11, 21)}


def test_the_day_never_lies_behind_the_registration() -> None:
    zones = [timezone(timedelta(hours=hours)) for hours in (-12, 0, 14)]
    for hours in range(-100, 100):
        for zone in zones:
            taken = (REGISTERED + timedelta(hours=hours)).astimezone(zone)
            day = visited_on("2026-11-30", [(taken, REGISTERED)])
            assert day is not None and day <= REGISTERED.date()


def test_without_any_time_there_is_no_day() -> None:
    assert visited_on("v1", []) is None
    assert visited_on("v1", [(None, None)]) is None
    assert visited_on("2026-11-20", []) == date(2026, 11, 20)
