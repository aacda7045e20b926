"""One table turns every named error into a status, and no message into more than a line."""

import inspect
import re
from pathlib import Path

import pytest
from fastapi.exceptions import RequestValidationError
from hypothesis import given
from hypothesis import strategies as st

from clarity import errors
from clarity.errors import ClarityError, TooManyRequests
from serving import errors as served
from serving import handlers

PROJECT = Path(__file__).resolve().parents[2]
NAMED = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, ClarityError)]
OWN = [kind for _, kind in inspect.getmembers(served, inspect.isclass) if issubclass(kind, ClarityError)]
KINDS = sorted({*NAMED, *OWN}, key=lambda kind: kind.__name__)
CALLERS = [
    errors.UnreadableImage, errors.ImageTooLarge, errors.NotFundus, errors.Ungradable, errors.UnknownRecord,
    errors.PatientError, errors.Erased, errors.AccessRefused, errors.ScopeMissing, errors.TooManyRequests,
    errors.IdempotencyConflict, errors.AnotherPatient, errors.AnotherEye, errors.AnotherVisit, errors.ReviewError,
]  # fmt: skip
BEHIND = [errors.StorageError, errors.StorageUnavailable, errors.NoChampion, errors.BundleError, errors.SealError,
          errors.SettingsError, errors.ParameterError, errors.InferenceError]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_named_error_has_a_row(kind: type[ClarityError]) -> None:
    problem = served.problem(kind("capture 3f0a: 412 bytes, not an image"), "id-1")
    assert 400 <= problem.status < 600
    assert problem.detail == "capture 3f0a: 412 bytes, not an image"
    assert problem.type.endswith(problem.code) and problem.request_id == "id-1"


@pytest.mark.parametrize("kind", [*CALLERS, *(kind for kind in OWN if kind.__module__ == served.__name__)])
def test_what_a_caller_can_cause_is_told_as_the_callers_or_as_busy(kind: type[ClarityError]) -> None:
    if kind is not served.RequestError:
        row = served.situation(kind("x"))
        assert 400 <= row.status < 500 or (row.status, row.code) in ((503, "overloaded"), (503, "overdue"))


@pytest.mark.parametrize("kind", BEHIND)
def test_what_is_behind_the_service_may_be_tried_again(kind: type[ClarityError]) -> None:
    assert served.situation(kind("x")).status == 503
    assert dict(served.headers(kind("x")))["Retry-After"].isdecimal()


@given(st.sampled_from(KINDS), st.data())
def test_the_nearest_ancestor_decides(kind: type[ClarityError], data: st.DataObject) -> None:
    special: type[ClarityError] = type("Special", (kind,), {})
    deeper: type[ClarityError] = type("Deeper", (special,), {})
    assert served.situation(deeper("x")) is served.situation(kind("x"))
    assert served.headers(deeper("x")) == served.headers(kind("x"))


@given(st.sampled_from(KINDS), st.text(max_size=2000))
def test_whatever_a_message_says_it_is_one_line_of_bounded_length(kind: type[ClarityError], said: str) -> None:
    problem = served.problem(kind(said), "id-1")
    assert len(problem.detail) <= 601 and problem.detail.isprintable()
    assert served.Problem.model_validate_json(problem.model_dump_json()) == problem


def test_codes_are_unique_and_stable_words() -> None:
    codes = [row.code for row in served.TABLE.values()]
    assert len(set(codes)) == len(codes)
    assert all(code.replace("_", "").isalpha() and code == code.lower() for code in codes)


def test_each_status_brings_the_headers_it_needs() -> None:
    assert dict(served.headers(TooManyRequests("x", retry_after_s=7))) == {"Retry-After": "7"}
    assert [name for name, _ in served.headers(errors.AccessRefused("x"))] == ["WWW-Authenticate"] * 2
    assert served.headers(errors.ScopeMissing("x")) == []
    assert served.headers(served.UnknownMethod("x", allowed="GET")) == [("Allow", "GET")]
    assert served.headers(errors.UnreadableImage("x")) == []


@given(st.integers(400, 599))
def test_a_status_without_a_named_error_is_a_problem_too(status: int) -> None:
    problem = served.plain_problem(status, "id-1")
    assert problem.status == status and (problem.code == "unexpected") == (status >= 500)


def test_the_reference_has_every_code_with_its_status() -> None:
    told = re.findall(r"^\| (\d{3}) \| `([a-z_]+)` \|", (PROJECT / "docs/reference.md").read_text(), re.MULTILINE)
    assert sorted(told) == sorted({(str(row.status), row.code) for row in served.TABLE.values()})


MUSTERMANN = "Erika Mustermann"
WRONG = [
    ({"type": "missing", "loc": ("body", "name"), "msg": "Field required"}, "name: missing"),
    (
        {"type": "extra_forbidden", "loc": ("body", MUSTERMANN), "msg": "Extra"},
        "body: has a field that is not documented",
    ),
    (
        {"type": "uuid_parsing", "loc": ("path", "id"), "msg": f"invalid character: {MUSTERMANN}"},
        "id: not as documented",
    ),
    ({"type": "value_error", "loc": ("body", "email"), "msg": MUSTERMANN}, "email: not as documented"),
    (
        {"type": "string_too_long", "loc": ("body", "name"), "msg": "should have at most 3 characters"},
        "name: should have",
    ),
    ({"type": "int_parsing", "loc": ("body", "erika mustermann"), "msg": "should be an integer"}, "body: should be"),
    ({"type": "json_invalid", "loc": ("body", 3), "msg": MUSTERMANN}, "body: not JSON"),
]


@pytest.mark.parametrize(("found", "told"), WRONG)
def test_what_is_wrong_is_told_by_field_and_never_by_value(found: dict[str, object], told: str) -> None:
    said = handlers._wrong(RequestValidationError([{**found, "input": MUSTERMANN}]).errors())
    assert said.startswith(told) and "mustermann" not in said.lower()


def test_a_crash_is_logged_by_its_place_and_not_by_its_words(caplog: pytest.LogCaptureFixture) -> None:
    try:
        try:
            raise ValueError(MUSTERMANN)
        except ValueError as error:
            raise RuntimeError(MUSTERMANN) from error
    except RuntimeError as error:
        handlers.crashed("id-1", error)
    assert "id-1" in caplog.text and "RuntimeError" in caplog.text and "ValueError" in caplog.text
    assert "raise RuntimeError" in caplog.text, "the line of code"
    assert MUSTERMANN not in caplog.text
