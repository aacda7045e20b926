"""The outcome of a visit, against an independent statement of the rule, over every combination that can occur."""

from itertools import combinations_with_replacement, permutations

import pytest

from clarity.records import Eye, ScanResult
from clarity.screening import outcome

GRADED = [ScanResult(Eye.LEFT, "scored", (), grade, grade >= 2) for grade in range(5)]
BY_THRESHOLD = ScanResult(Eye.LEFT, "scored", (), 1, True)
UNGRADABLE = ScanResult(Eye.LEFT, "ungradable", ("blurred",))
QUARANTINED = ScanResult(Eye.LEFT, "quarantined", ("not an image",))
WAITING = ScanResult(Eye.LEFT, "registered")
BY_ANOTHER_VERSION = ScanResult(Eye.LEFT, "scored")
KINDS = [*GRADED, BY_THRESHOLD, UNGRADABLE, QUARANTINED, WAITING, BY_ANOTHER_VERSION]
EYE = [chosen for count in range(4) for chosen in combinations_with_replacement(KINDS, count)]
"""Every eye of up to three captures."""


def of(eye: Eye, captures: tuple[ScanResult, ...]) -> list[ScanResult]:
    return [ScanResult(eye, c.state, c.reasons, c.grade, c.referable) for c in captures]


def expected(left: tuple[ScanResult, ...], right: tuple[ScanResult, ...]) -> str:
    """The rule of the clinic's page, said another way."""
    every = left + right
    if any(c.grade in (2, 3, 4) or c is BY_THRESHOLD for c in every):
        return "refer"
    for eye in (left, right):
        if not any(c.grade is not None for c in eye):
            return "incomplete"
    if WAITING in every or BY_ANOTHER_VERSION in every:
        return "incomplete"
    return "no referral"


def test_every_pair_of_eyes_with_up_to_three_captures_has_the_outcome_of_the_rule() -> None:
    seen = set()
    for left in EYE:
        for right in EYE[:: 1 if len(left) < 3 else 7]:
            found = outcome.join("A", "v", of(Eye.LEFT, left) + of(Eye.RIGHT, right))
            assert found.result == expected(left, right), (left, right)
            grades = [[c.grade for c in eye if c.grade is not None] for eye in (left, right)]
            assert found.left_grade == max(grades[0], default=None)
            assert found.right_grade == max(grades[1], default=None)
            assert found.worst_grade == max(grades[0] + grades[1], default=None)
            assert found.macular_oedema == "not assessed"
            seen.add(found.result)
    assert seen == {"refer", "no referral", "incomplete"}


def test_no_outcome_without_a_graded_capture_of_each_eye_says_no_referral() -> None:
    for left in EYE:
        found = outcome.join("A", "v", of(Eye.LEFT, left))
        assert found.result != "no referral"


def test_the_order_of_captures_changes_nothing() -> None:
    captures = [*of(Eye.LEFT, (GRADED[1], UNGRADABLE)), *of(Eye.RIGHT, (GRADED[0], WAITING))]
    found = {outcome.join("A", "v", order) for order in permutations(captures)}
    assert len(found) == 1


def test_a_visit_without_captures_is_incomplete() -> None:
    found = outcome.join("A", "v", [])
    assert found.result == "incomplete"
    assert found.reasons == ("left eye: no capture", "right eye: no capture")


@pytest.mark.parametrize(
    ("captures", "sentence"),
    [
        ((GRADED[1], UNGRADABLE), "left eye: grade 1, mild NPDR; 1 capture ungradable (blurred)"),
        ((UNGRADABLE, UNGRADABLE), "left eye: 2 captures ungradable (blurred)"),
        ((QUARANTINED,), "left eye: 1 capture in quarantine (not an image)"),
        ((WAITING,), "left eye: 1 capture not scored yet"),
        ((BY_THRESHOLD,), "left eye: grade 1, mild NPDR; referable by the operating threshold"),
        ((GRADED[4],), "left eye: grade 4, proliferative DR"),
    ],
)
def test_the_reason_says_what_is_known_of_the_eye(captures: tuple[ScanResult, ...], sentence: str) -> None:
    assert outcome.join("A", "v", of(Eye.LEFT, captures)).reasons[0] == sentence


def test_a_referable_eye_refers_although_the_other_is_ungradable() -> None:
    found = outcome.join("A", "v", [*of(Eye.LEFT, (GRADED[3],)), *of(Eye.RIGHT, (UNGRADABLE,))])
    assert found.result == "refer"
    assert found.right_grade is None
    assert "ungradable" in found.reasons[1]
