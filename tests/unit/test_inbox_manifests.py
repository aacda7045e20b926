"""One CSV a folder: read whole or refused with what is wrong, and small in memory."""

import contextlib
import csv
import io
import time
import tracemalloc
import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clarity.errors import InboxError
from clarity.screening import manifests
from clarity.screening.attribution import is_attribution

CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=12).map(
    lambda t: unicodedata.normalize("NFC", t.strip())
)


def test_a_manifest_is_read_with_its_byte_order_mark_its_spaces_and_its_empty_columns() -> None:
    text = "\ufefffile, Patient ,eye,visit,,\na.jpg,P1,left, v1 ,,\n\n,,,,,\n"
    row = manifests.read(text.encode()).row("a.jpg")
    assert row is not None
    assert (row["patient"], row["eye"], row["visit"]) == ("P1", "left", "v1")


def test_a_name_that_macos_took_apart_is_the_same_name() -> None:
    data = "file,patient,eye\nAugenhintergrund-\u00fc.jpg,P1,left\n".encode()
    assert manifests.read(data).row("Augenhintergrund-u\u0308.jpg") is not None


@pytest.mark.parametrize(
    ("data", "verdict"),
    [
        (b"file,eye\na.jpg,left\n", "no column patient"),
        (b"", "no column file, patient, eye"),
        (b"\xff\xfe\x00", "not CSV"),
        (b"file,patient,eye\na.jpg,P1,left\na.jpg,P2,left\n", "two different rows for a.jpg"),
        (b"file,patient,eye,eye\na.jpg,P1,left,right\n", "two columns of one name"),
        (b'file,patient,eye\n"a.jpg,P1', "not CSV"),
    ],
)
def test_a_manifest_that_cannot_be_relied_on_is_refused(data: bytes, verdict: str) -> None:
    with pytest.raises(InboxError, match=verdict):
        manifests.read(data)


def test_a_manifest_without_its_heading_does_not_tell_the_patient_who_stands_there() -> None:
    with pytest.raises(InboxError) as refused:
        manifests.read(b"a.jpg,Featherstone,left\n")
    assert "eather" not in str(refused.value)


def test_a_hundred_thousand_rows_cost_a_moment_and_little_memory() -> None:
    lines = ["file,patient,eye,field,visit,captured_at"]
    lines += [
        f"{i:06d}.jpg,P{i // 4:05d},{'OS' if i % 2 else 'OD'},macula,2026-11-22,2026-11-22T09:15"
        for i in range(100_000)
    ]
    data = "\n".join(lines).encode()
    began = time.perf_counter()
    manifests.read(data)
    assert time.perf_counter() - began < 10
    tracemalloc.start()
    found = manifests.read(data)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found.rows) == 100_000
    assert kept < 60_000_000


def test_more_rows_than_a_folder_can_have_are_refused() -> None:
    data = b"file,patient,eye\n" + b"".join(b"%d,P,l\n" % i for i in range(250_002))
    with pytest.raises(InboxError, match="more than 250000 rows"):
        manifests.read(data)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(CELL.filter(bool), st.tuples(CELL, CELL), max_size=8))
def test_whatever_a_spreadsheet_quotes_comes_back_as_it_was(rows: dict[str, tuple[str, str]]) -> None:
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(("file", "patient", "eye"))
    table.writerows((name, *values) for name, values in rows.items())
    found = manifests.read(text.getvalue().encode())
    for name, (patient, eye) in rows.items():
        assert found.row(name) == {"patient": patient, "eye": eye}


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=200))
def test_any_bytes_are_a_manifest_or_are_refused_by_name(data: bytes) -> None:
    with contextlib.suppress(InboxError):
        manifests.read(b"file,patient,eye\n" + data)


def test_sidecars_and_manifests_are_no_photographs() -> None:
    assert is_attribution("inbox/a.jpg.json") and is_attribution("inbox/x/manifest.csv")
    assert not is_attribution("inbox/a.jpg") and not is_attribution("inbox/other.csv")
