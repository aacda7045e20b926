"""One table turns every named error into a status."""

import inspect

import pytest

from clarity import errors
from clarity.errors import ClarityError
from serving import errors as served

NAMED = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, ClarityError)]
OWN = [kind for _, kind in inspect.getmembers(served, inspect.isclass) if issubclass(kind, ClarityError)]
FROM_A_PHOTOGRAPH = [errors.UnreadableImage, errors.ImageTooLarge, errors.NotFundus, errors.Ungradable]


@pytest.mark.parametrize("kind", sorted({*NAMED, *OWN}, key=lambda kind: kind.__name__))
def test_every_named_error_has_a_row(kind: type[ClarityError]) -> None:
    problem = served.problem(kind("capture 3f0a: 412 bytes, not an image"), "id-1")
    assert 400 <= problem.status < 600
    assert problem.detail == "capture 3f0a: 412 bytes, not an image"
    assert problem.type.endswith(problem.code) and problem.request_id == "id-1"


@pytest.mark.parametrize("kind", FROM_A_PHOTOGRAPH + OWN[1:])
def test_what_a_caller_can_cause_is_never_a_500(kind: type[ClarityError]) -> None:
    if kind is not ClarityError and kind is not served.RequestError:
        assert served.situation(kind("x")).status != 500


def test_the_nearest_ancestor_decides() -> None:
    class Special(errors.ImageTooLarge):
        pass

    assert served.situation(Special("x")).status == 413
    assert served.situation(errors.StorageUnavailable("x")).code == "storage_unavailable"


def test_codes_are_unique_and_stable_words() -> None:
    codes = [row.code for row in served.TABLE.values()]
    assert len(set(codes)) == len(codes)
    assert all(code.replace("_", "").isalpha() and code == code.lower() for code in codes)


def test_what_may_pass_says_when_to_try_again() -> None:
    assert served.headers(503)["Retry-After"].isdigit()
    assert served.headers(422) == {}
