"""Whose photograph it is: what sidecars and manifests may say."""

from datetime import UTC, datetime

import pytest

from clarity.errors import InboxError
from clarity.records import Eye
from clarity.screening.attribution import is_attribution, parse, rows

NOW = datetime(2026, 11, 22, 20, 0, tzinfo=UTC)
GOOD = {"patient": "A17", "eye": "left", "visit": "v1"}


def test_a_whole_sidecar_is_read() -> None:
    said = parse({**GOOD, "field": "macula", "captured_at": "2026-11-22T10:12:00+02:00"}, now=NOW)
    assert (said.patient, said.eye, said.visit, said.field) == ("A17", Eye.LEFT, "v1", "macula")
    assert said.captured_at == datetime(2026, 11, 22, 8, 12, tzinfo=UTC)


def test_the_visit_defaults_to_the_day_of_the_capture() -> None:
    said = parse({"patient": 17, "eye": "OD", "captured_at": "2026-11-22T10:12:00"}, now=NOW)
    assert (said.patient, said.eye, said.visit) == ("17", Eye.RIGHT, "2026-11-22")


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({"eye": "both"}, "not left or right"),
        ({"eye": None}, "not left or right"),
        ({"eye": ["left"]}, "not text"),
        ({"eye": True}, "not text"),
        ({"patient": ""}, "patient: missing"),
        ({"patient": "A\x0017"}, "not printable"),
        ({"patient": "A\n17"}, "not printable"),
        ({"patient": "x" * 129}, "too long"),
        ({"visit": None}, "both missing"),
        ({"captured_at": "yesterday"}, "not an ISO 8601 time"),
        ({"captured_at": "2027-01-01T00:00:00Z"}, "in the future"),
        ({"captured_at": "0001-01-01T00:00:00+23:00"}, "not an ISO 8601 time"),
    ],
)
def test_what_cannot_be_relied_on_is_refused(change: dict[str, object], verdict: str) -> None:
    with pytest.raises(InboxError, match=verdict):
        parse({**GOOD, **change}, now=NOW)


def test_a_manifest_is_read_with_its_byte_order_mark_its_spaces_and_its_empty_columns() -> None:
    text = "\ufefffile, Patient ,eye,visit,,\na.jpg,P1,left, v1 ,,\n"
    assert rows(text.encode())["a.jpg"] == {"file": "a.jpg", "patient": "P1", "eye": "left", "visit": "v1"}


@pytest.mark.parametrize(
    ("data", "verdict"),
    [
        (b"file,eye\na.jpg,left\n", "no column patient"),
        (b"", "no column file, patient, eye"),
        (b"\xff\xfe\x00", "not CSV"),
        (b"file,patient,eye\na.jpg,P1,left\na.jpg,P2,left\n", "two different rows for a.jpg"),
        (b'file,patient,eye\n"a.jpg,P1', "not CSV"),
    ],
)
def test_a_manifest_that_cannot_be_relied_on_is_refused(data: bytes, verdict: str) -> None:
    with pytest.raises(InboxError, match=verdict):
        rows(data)


def test_sidecars_and_manifests_are_no_photographs() -> None:
    assert is_attribution("inbox/a.jpg.json") and is_attribution("inbox/x/manifest.csv")
    assert not is_attribution("inbox/a.jpg") and not is_attribution("inbox/other.csv")
