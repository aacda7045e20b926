"""What may be said of a photograph, and what is refused without being repeated."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clarity.errors import InboxError
from clarity.records import Eye
from clarity.screening.claims import parse

NOW = datetime(2026, 11, 22, 20, 0, tzinfo=UTC)
GOOD = {"patient": "A17", "eye": "left", "visit": "v1"}
ANYTHING = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.text()))
FIELDS = ("patient", "eye", "visit", "field", "visit_type", "captured_at", "camera")


def test_a_whole_sidecar_is_read() -> None:
    more = {"field": "macula", "captured_at": "2026-11-22T10:12:00+02:00", "visit_type": "urgent", "camera": "Topcon"}
    said = parse({**GOOD, **more}, now=NOW)
    assert (said.patient, said.eye, said.visit, said.field) == ("A17", Eye.LEFT, "v1", "macula")
    assert (said.visit_type, said.camera) == ("urgent", "Topcon")
    assert said.captured_at == datetime(2026, 11, 22, 8, 12, tzinfo=UTC)


def test_the_visit_defaults_to_the_day_of_the_capture() -> None:
    said = parse({"patient": 17, "eye": "OD", "captured_at": "2026-11-22T10:12:00"}, now=NOW)
    assert (said.patient, said.eye, said.visit) == ("17", Eye.RIGHT, "2026-11-22")
    assert said.captured_at == datetime(2026, 11, 22, 10, 12, tzinfo=UTC)


@pytest.mark.parametrize("word", ["left", "LEFT", "l", "OS", "le", " os "])
def test_the_left_eye_has_several_names(word: str) -> None:
    assert parse({**GOOD, "eye": word}, now=NOW).eye == Eye.LEFT


def test_midnight_in_greenwich_does_not_tear_an_afternoon_in_california_in_two() -> None:
    times = ("2026-11-20T15:58:00-08:00", "2026-11-20T16:02:00-08:00")
    said = [parse({"patient": "A", "eye": "L", "captured_at": time}, now=NOW) for time in times]
    assert [one.visit for one in said] == ["2026-11-20", "2026-11-20"]
    assert [one.captured_at and one.captured_at.day for one in said] == [20, 21]


def test_the_hour_that_comes_twice_when_clocks_are_set_back_is_one_visit_and_a_time_without_a_zone_is_utc() -> None:
    said = [
        parse({"patient": "A", "eye": "L", "captured_at": time}, now=NOW)
        for time in ("2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00", "2026-10-25T02:30:00")
    ]
    assert {one.visit for one in said} == {"2026-10-25"}
    assert [one.captured_at and one.captured_at.hour for one in said] == [0, 1, 2]


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("20261122", datetime(2026, 11, 22, tzinfo=UTC)),
        ("20261122-0915", datetime(2026, 11, 22, 9, 15, tzinfo=UTC)),
        ("20261122_091530", datetime(2026, 11, 22, 9, 15, 30, tzinfo=UTC)),
        ("2026-11-22T09:15Z", datetime(2026, 11, 22, 9, 15, tzinfo=UTC)),
    ],
)
def test_times_are_read_as_file_names_write_them_too(text: str, time: datetime) -> None:
    assert parse({**GOOD, "captured_at": text}, now=NOW).captured_at == time


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({"eye": "both"}, "'both', not left or right"),
        ({"eye": None}, "missing, not left or right"),
        ({"eye": ["left"]}, "not text"),
        ({"eye": True}, "not text"),
        ({"patient": ""}, "patient: missing"),
        ({"patient": " \t "}, "patient: missing"),
        ({"patient": "..."}, "no pseudonymous id"),
        ({"patient": "jane@example.org"}, "no pseudonymous id"),
        ({"patient": "Jane Doe"}, "no pseudonymous id"),
        ({"patient": "Doe, Jane"}, "no pseudonymous id"),
        ({"patient": "Doe^Jane"}, "no pseudonymous id"),
        ({"patient": "+491701234567"}, "no pseudonymous id"),
        ({"patient": "A\x0017"}, "not printable"),
        ({"patient": "A\n17"}, "not printable"),
        ({"patient": "\u202e71A"}, "not printable"),
        ({"patient": "x" * 129}, "too long"),
        ({"patient": 10**5000}, "too many digits"),
        ({"visit": None}, "both missing"),
        ({"captured_at": "yesterday"}, "not an ISO 8601 time"),
        ({"captured_at": "20261322"}, "not an ISO 8601 time"),
        ({"captured_at": "2027-01-01T00:00:00Z"}, "in the future"),
        ({"captured_at": "0001-01-01T00:00:00+23:00"}, "not an ISO 8601 time"),
        ({"captured_at": "1970-01-01T00:00:12Z"}, "a clock that was never set"),
    ],
)
def test_what_cannot_be_relied_on_is_refused(change: dict[str, object], verdict: str) -> None:
    with pytest.raises(InboxError, match=verdict):
        parse({**GOOD, **change}, now=NOW)


@pytest.mark.parametrize("said", ["A17", "17", "demo:bad-files", "eyepacs/10_left", "患者7", "ab+c=", "x.y_z#1"])
def test_pseudonymous_ids_of_any_script_are_taken(said: str) -> None:
    assert parse({**GOOD, "patient": said}, now=NOW).patient == said


@pytest.mark.parametrize("column", ["patient", "eye", "captured_at", "field", "visit"])
def test_a_name_in_any_column_is_not_repeated_by_the_verdict(column: str) -> None:
    values = {"patient": "A17", "eye": "x", "captured_at": "2026-11-22"} | {column: "Theresa Featherstone"}
    with pytest.raises(InboxError) as refused:
        parse(values, now=NOW)
    assert "eather" not in str(refused.value)


def test_a_clock_that_runs_a_day_ahead_of_ours_is_believed_and_more_is_not() -> None:
    near, far = NOW + timedelta(hours=25), NOW + timedelta(hours=27)
    assert parse({**GOOD, "captured_at": near.isoformat()}, now=NOW).captured_at == near
    with pytest.raises(InboxError, match="in the future"):
        parse({**GOOD, "captured_at": far.isoformat()}, now=NOW)
    # our own clock had jumped back; when it is right again, so is the verdict
    assert parse({**GOOD, "captured_at": far.isoformat()}, now=NOW + timedelta(hours=3)).captured_at == far


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, ANYTHING)))
def test_whatever_a_sidecar_says_it_is_taken_whole_or_refused_by_name(values: dict[str, object]) -> None:
    try:
        said = parse(values, now=NOW)
    except InboxError as refused:
        assert str(refused).isprintable()
    else:
        assert said.eye in (Eye.LEFT, Eye.RIGHT)
        assert said.visit and said.patient == said.patient.strip() and not set(said.patient) & set(" @,^\n")


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.datetimes(datetime(1991, 1, 1), datetime(2026, 11, 1)),
    st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
def test_any_written_time_keeps_its_moment_and_its_written_day(moment: datetime, zone: timezone) -> None:
    written = moment.replace(tzinfo=zone)
    said = parse({"patient": "A", "eye": "L", "captured_at": written.isoformat()}, now=NOW)
    assert said.captured_at == written
    assert said.visit == moment.date().isoformat()
