"""Patterns of the document: Python, pydantic (Rust) and JSON Schema (JavaScript's meaning) read them alike."""

import re
from calendar import monthrange
from collections.abc import Iterator
from datetime import date
from typing import Annotated, Any

import jsonschema_rs
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import StringConstraints, TypeAdapter, ValidationError

from clarity.days import DAY
from clarity.patients.person import Person, check_external_id
from serving import reference
from serving.people import PatientRequest

_EDGES = [
    *map(chr, range(0x21)), *map(chr, range(0x7F, 0xA1)), *"aZ09@-_+.é",
    *"\u0301\u0345\u1680\u180e\u2000\u200a\u200b\u200d\u2028\u2029\u202f\u205f\u2060\u3000\ufeff\ufffd\uffff",
    *"\u0663\uff11\u017f\u212a\U0001d7d9\U0001f441\U000e0020\U0010ffff",
]  # fmt: skip
"""White space and controls of one engine and not of another, digits and letters that only ``\\d``, ``\\w`` or a fold
of case hold, marks without a letter, characters of two UTF-16 units."""


def _patterns(shape: Any) -> Iterator[str]:
    if isinstance(shape, dict):
        if isinstance(shape.get("pattern"), str):
            yield shape["pattern"]
        for one in shape.values():
            yield from _patterns(one)
    elif isinstance(shape, list):
        for one in shape:
            yield from _patterns(one)


PATTERNS = sorted(set(_patterns(reference.openapi())))


def _answers(pattern: str, text: str) -> dict[str, bool]:
    try:
        TypeAdapter(Annotated[str, StringConstraints(pattern=pattern)]).validate_python(text)
        rust = True
    except ValidationError:
        rust = False
    script = jsonschema_rs.validator_for({"type": "string", "pattern": pattern}).is_valid(text)
    whole = pattern if pattern.endswith("$") else f"{pattern}(?s:.*)"
    return {"Python": re.fullmatch(whole, text) is not None, "pydantic": rust, "JSON Schema": script}


@pytest.mark.parametrize("pattern", PATTERNS)
@given(data=st.data())
def test_every_engine_says_the_same_of_a_text(pattern: str, data: st.DataObject) -> None:
    good = data.draw(st.from_regex(pattern))
    at = data.draw(st.integers(0, len(good)))
    edge = data.draw(st.text(st.sampled_from(_EDGES), max_size=2))
    text = data.draw(st.sampled_from([good, good[:at] + edge + good[at:], edge + good[at:], good[:at] + edge]))
    said = _answers(pattern, text)
    assert len({*said.values()}) == 1, (text, said)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_engine_says_the_same_of_each_character_at_an_edge(pattern: str) -> None:
    for edge in _EDGES:
        for text in (edge, f"{edge}a@b", f"a@{edge}", f"1234{edge}", f"a{edge}b@c", f"erased-{edge}"):
            said = _answers(pattern, text)
            assert len({*said.values()}) == 1, (text, said)


_TEXTS = {
    name: next(kind for kind in shape["anyOf"] if "pattern" in kind)
    for name, shape in PatientRequest.model_json_schema()["properties"].items()
    if name not in ("age", "birth_date")
}


@pytest.mark.parametrize("name", _TEXTS)
@given(data=st.data())
def test_whatever_the_document_takes_of_a_patient_can_be_kept(name: str, data: st.DataObject) -> None:
    shape = _TEXTS[name]
    text = data.draw(st.from_regex(shape["pattern"], fullmatch=True)) + data.draw(st.text(st.sampled_from(" \t\n\r")))
    assume(jsonschema_rs.validator_for(shape).is_valid(text))
    said = PatientRequest.model_validate({name: text}).said()
    assert said == {name: text.rstrip()}
    if name == "external_id":
        check_external_id(said[name])
    else:
        Person().with_changes(said, date.today())


@given(st.text(st.sampled_from("0123456789-"), min_size=10, max_size=10) | st.dates().map(date.isoformat))
def test_a_day_is_one_of_the_calendar_from_1900_to_2099(text: str) -> None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    assert bool(re.fullmatch(DAY, text)) == (day is not None and day.isoformat() == text and 1900 <= day.year <= 2099)


@pytest.mark.parametrize("year", [1900, 1904, 1999, 2000, 2024, 2026, 2096])
def test_a_month_has_as_many_days_as_the_calendar_says(year: int) -> None:
    for month in range(1, 13):
        last = monthrange(year, month)[1]
        told = [day for day in range(33) if re.fullmatch(DAY, f"{year}-{month:02}-{day:02}")]
        assert told == list(range(1, last + 1))
