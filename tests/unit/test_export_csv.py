"""A table that leaves the house is shown by a spreadsheet and never run by it."""

import csv
import io
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarity.screening.export import csv as ours

EVIL = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "  =1",
    "\u00a0=1",
    "＝1",
    "=cmd|' /C calc'!A0",
    "'=1",
    "'",
]


@pytest.mark.parametrize("text", EVIL)
def test_a_cell_that_looks_like_a_formula_is_text_and_comes_back_as_it_was(text: str) -> None:
    safe = ours.cell(text)
    assert safe.startswith("'")
    assert ours.plain(safe) == text


@pytest.mark.parametrize("text", ["P1", "2026-11-22", "Ω's 患者", "a=b", "", " ", "left eye: grade 2; 1 capture"])
def test_every_other_cell_is_left_alone(text: str) -> None:
    assert ours.cell(text) == text


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_every_text_survives_the_table_and_back(text: str) -> None:
    line = ours._line([ours.cell(text), "end"])
    (row,) = csv.reader(io.StringIO(line, newline=""))
    assert row[1] == "end" and ours.plain(row[0]) == text
    assert row[0].lstrip(" \u00a0")[:1] not in tuple("=+-@\t＝＋－＠")


def test_values_have_one_spelling() -> None:
    assert [ours.cell(value) for value in (None, True, False, 0, 4, date(2026, 11, 22), ("a", "b"), ())] == [
        "", "true", "false", "0", "4", "2026-11-22", "a | b", "",
    ]  # fmt: skip
    assert ours.cell(datetime(2026, 11, 22, 2, 0, tzinfo=UTC)) == "2026-11-22T02:00:00+00:00"
