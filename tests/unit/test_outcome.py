"""The outcome of a visit, against an independent statement of the rule, over every combination that can occur."""

from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import combinations_with_replacement, permutations, product
from pathlib import Path

import pytest

from clarity.records import Eye, Outcome, ScanResult
from clarity.screening import outcome, policy
from clarity.screening.policy import Policy

FOLDER = Path(__file__).resolve().parents[2] / policy.FOLDER
POLICIES = [policy.load(FOLDER, name) for name in ("ada", "more-than-mild", "nhs-england-2025")]
ADA = POLICIES[0]
EARLY = ADA.model_copy(
    update={"name": "early", "grades": tuple(s.model_copy(update={"refers": s.grade >= 1}) for s in ADA.grades)}
)
"""A policy that refers mild DR too."""
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = NOON.date()


def scored(grade: int, *why: str, referable: bool | None = None, threatening: bool | None = None) -> ScanResult:
    return ScanResult(
        Eye.LEFT,
        "scored",
        (),
        grade,
        grade >= 2 if referable is None else referable,
        grade >= 3 if threatening is None else threatening,
        why,
        captured_at=NOON,
        registered_at=NOON,
    )


def other(state: str, *why: str) -> ScanResult:
    return ScanResult(Eye.LEFT, state, why, captured_at=NOON, registered_at=NOON)


FIRM = [scored(grade) for grade in range(5)]
ABSTAINED = [scored(grade, "near the threshold") for grade in range(5)]
REFERRED_1 = scored(1, referable=True)
THREATENING_2 = scored(2, threatening=True)
ABSTAINED_REFERRED_1 = scored(1, "unfamiliar", referable=True)
UNGRADABLE = other("ungradable", "blurred")
QUARANTINED = other("quarantined", "not an image")
WAITING = other("registered")
BY_ANOTHER_VERSION = other("scored")
KINDS = [
    *FIRM, *ABSTAINED, REFERRED_1, THREATENING_2, ABSTAINED_REFERRED_1,
    UNGRADABLE, QUARANTINED, WAITING, BY_ANOTHER_VERSION,
]  # fmt: skip
EYE = [chosen for count in range(3) for chosen in combinations_with_replacement(KINDS, count)]
"""Every eye of up to two captures: 171."""


def of(eye: Eye, captures: tuple[ScanResult, ...]) -> list[ScanResult]:
    return [replace(capture, eye=eye) for capture in captures]


# The rule said another way: by sets of letters and tables, not by the code's own steps.

LETTERS = {id(c): letter for c, letter in zip(KINDS, "01234abcdeRTSuqww", strict=True)}
"""Firm grades 0-4, abstained a-e, by threshold R (referable), T (vision-threatening), S (abstained referable)."""
GRADE = dict(zip("01234abcdeRTS", (0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 1, 2, 1), strict=True))
WEIGHT = GRADE | {"R": 2, "T": 3, "S": 2}
DAYS = {"ada": {0: date(2027, 11, 22), 1: date(2027, 11, 22), 2: date(2027, 5, 22), 3: DAY, 4: DAY}}


def letters(captures: tuple[ScanResult, ...]) -> str:
    return "".join(LETTERS[id(capture)] for capture in captures)


def expected(left: str, right: str, mild: bool) -> tuple[str, int]:
    """(result, priority); ``mild``: the policy refers from grade 1 on."""
    seen = set(left + right)
    refer = set("234RT") | (set("1") if mild else set())
    doubt, vision = set("abcdeS"), set("34deT")
    if seen & refer:
        result, priority = "refer", 1
    elif seen & doubt:
        result, priority = "review", 2
    elif "w" in seen or not set(left) & set(GRADE) or not set(right) & set(GRADE):
        result, priority = "incomplete", 3
    else:
        result, priority = "no referral", 4
    return result, 0 if seen & vision else priority


def expected_due(left: str, right: str, result: str) -> date:
    """Under ADA, of a visit on 22 November 2026."""
    weights = [WEIGHT[one] for one in left + right if one in WEIGHT]
    bounds = [DAYS["ada"][max(weights)]] if weights else []
    lacking = any(not set(eye) & set(GRADE) for eye in (left, right))
    if result == "review":
        bounds.append(date(2026, 11, 29))
        if any(not set(eye) & set(GRADE) and "w" not in eye for eye in (left, right)):
            bounds.append(date(2026, 12, 22))
    if result == "incomplete" and (lacking or "w" in left + right):
        bounds.append(date(2026, 12, 22))
    return min(bounds)


@pytest.mark.parametrize("rule", [*POLICIES, EARLY], ids=lambda rule: rule.name)
def test_every_pair_of_eyes_with_up_to_two_captures_each_has_the_outcome_of_the_rule(rule: Policy) -> None:
    seen = set()
    lefts, rights = ([(of(eye, captures), captures) for captures in EYE] for eye in (Eye.LEFT, Eye.RIGHT))
    for (one, left), (other, right) in product(lefts, rights):
        found = outcome.join("A", "v", one + other, rule)
        result, priority = expected(letters(left), letters(right), rule is EARLY)
        assert (found.result, found.priority) == (result, priority), (letters(left), letters(right))
        if rule is ADA and left + right:
            assert found.due_on == expected_due(letters(left), letters(right), result), (letters(left), letters(right))
        check_grades(found, left, right)
        check_never_silent(found, left + right, rule)
        seen.add(result)
    assert seen == {"refer", "review", "no referral", "incomplete"}


def check_grades(found: Outcome, left: tuple[ScanResult, ...], right: tuple[ScanResult, ...]) -> None:
    grades = [[GRADE[one] for one in letters(eye) if one in GRADE] for eye in (left, right)]
    assert found.left_grade == max(grades[0], default=None)
    assert found.right_grade == max(grades[1], default=None)
    assert found.worst_grade == max(grades[0] + grades[1], default=None)


def check_never_silent(found: Outcome, captures: tuple[ScanResult, ...], rule: Policy) -> None:
    """What holds of every outcome, whatever the policy."""
    assert found.macular_oedema == "not assessed"
    assert any("macul" in said for said in found.not_derivable)
    assert found.policy == rule.label and found.action
    assert (found.result == "no referral") == (found.priority == 4)
    assert found.due_on is None if not captures else found.due_on is not None and found.due_on >= DAY
    if found.result == "no referral":
        assert None not in (found.left_grade, found.right_grade)
        assert not any(c.referable or c.vision_threatening or c.review_reasons for c in captures)
        assert not any(c.grade is None and c.state in ("registered", "scored") for c in captures)
    for state, word in (("ungradable", "ungradable"), ("quarantined", "quarantine")):
        if any(capture.state == state for capture in captures):
            assert word in " ".join(found.reasons)
    if any(capture.review_reasons for capture in captures):
        assert "uncertain" in " ".join(found.reasons)


def test_a_worse_capture_never_makes_a_milder_outcome() -> None:
    """Adding any capture to any visit never lowers its urgency, unless it completes an eye that was missing."""
    for left, right, more in product(EYE[::4], EYE[::9], KINDS):
        before = outcome.join("A", "v", of(Eye.LEFT, left) + of(Eye.RIGHT, right), ADA)
        after = outcome.join("A", "v", of(Eye.LEFT, (*left, more)) + of(Eye.RIGHT, right), ADA)
        if before.priority != 3:
            assert after.priority <= before.priority, (letters(left), letters(right), letters((more,)))


@pytest.mark.parametrize("rule", POLICIES, ids=lambda rule: rule.name)
def test_the_order_of_captures_changes_nothing(rule: Policy) -> None:
    eyes = [
        ((FIRM[1], UNGRADABLE), (ABSTAINED[0], WAITING)),
        ((FIRM[2], ABSTAINED[4], QUARANTINED), (UNGRADABLE,)),
        ((REFERRED_1, THREATENING_2), (BY_ANOTHER_VERSION, FIRM[0])),
    ]
    for left, right in eyes:
        captures = of(Eye.LEFT, left) + of(Eye.RIGHT, right)
        assert len({outcome.join("A", "v", order, rule) for order in permutations(captures)}) == 1


def test_left_and_right_are_treated_alike() -> None:
    for left, right in product(EYE[::4], EYE[::7]):
        one = outcome.join("A", "v", of(Eye.LEFT, left) + of(Eye.RIGHT, right), ADA)
        two = outcome.join("A", "v", of(Eye.LEFT, right) + of(Eye.RIGHT, left), ADA)
        assert (one.result, one.priority, one.due_on, one.action) == (two.result, two.priority, two.due_on, two.action)
        assert (one.left_grade, one.right_grade) == (two.right_grade, two.left_grade)


def test_a_capture_of_an_unknown_eye_counts_for_the_worst_and_completes_no_eye() -> None:
    found = outcome.join("A", "v", [*of(Eye.UNKNOWN, (FIRM[1], FIRM[0])), *of(Eye.LEFT, (FIRM[0],))], ADA)
    assert (found.result, found.worst_grade, found.right_grade) == ("incomplete", 1, None)
    assert found.reasons[2] == "unknown eye: grade 1, mild NPDR"
    assert outcome.join("A", "v", of(Eye.UNKNOWN, (FIRM[3],)), ADA).priority == 0


def test_a_visit_without_captures_is_incomplete() -> None:
    found = outcome.join("A", "v", [], ADA)
    assert (found.result, found.priority, found.due_on) == ("incomplete", 3, None)
    assert found.reasons == ("left eye: no capture", "right eye: no capture")


@pytest.mark.parametrize(
    ("captures", "sentence"),
    [
        ((FIRM[1], UNGRADABLE), "left eye: grade 1, mild NPDR; 1 capture ungradable (blurred)"),
        ((UNGRADABLE, UNGRADABLE), "left eye: 2 captures ungradable (blurred)"),
        ((QUARANTINED,), "left eye: 1 capture in quarantine (not an image)"),
        ((WAITING,), "left eye: 1 capture not scored yet"),
        ((REFERRED_1,), "left eye: grade 1, mild NPDR; referable by the operating threshold"),
        ((THREATENING_2,), "left eye: grade 2, moderate NPDR; vision-threatening by the operating threshold"),
        ((ABSTAINED[0],), "left eye: grade 0, no apparent DR; 1 capture uncertain (near the threshold)"),
        ((FIRM[4],), "left eye: grade 4, proliferative DR"),
        ((replace(FIRM[0], reviewed=True),), "left eye: grade 0, no apparent DR; 1 capture read by a person"),
    ],
)
def test_the_reason_says_what_is_known_of_the_eye(captures: tuple[ScanResult, ...], sentence: str) -> None:
    assert outcome.join("A", "v", of(Eye.LEFT, captures), ADA).reasons[0] == sentence


def test_a_referable_eye_refers_although_the_other_is_ungradable() -> None:
    found = outcome.join("A", "v", [*of(Eye.LEFT, (FIRM[3],)), *of(Eye.RIGHT, (UNGRADABLE,))], ADA)
    assert (found.result, found.right_grade) == ("refer", None)
    assert "ungradable" in found.reasons[1]
    assert found.action == "Refer to an ophthalmologist immediately."


def test_what_is_referable_by_the_threshold_alone_gets_the_action_of_a_referral() -> None:
    found = outcome.join("A", "v", of(Eye.LEFT, (REFERRED_1,)), ADA)
    assert found.action == ADA.grades[2].action
    assert found.worst_grade == 1
    found = outcome.join("A", "v", of(Eye.LEFT, (THREATENING_2,)), ADA)
    assert (found.action, found.priority, found.due_on) == (ADA.grades[3].action, 0, DAY)


def test_an_unsure_suspicion_of_a_threat_is_due_at_once_and_comes_first() -> None:
    found = outcome.join("A", "v", [*of(Eye.LEFT, (ABSTAINED[4],)), *of(Eye.RIGHT, (FIRM[0],))], ADA)
    assert (found.result, found.priority, found.due_on) == ("review", 0, DAY)
    assert found.action == ADA.review.action


def test_for_review_and_an_eye_missing_asks_for_both() -> None:
    found = outcome.join("A", "v", of(Eye.LEFT, (ABSTAINED[0],)), ADA)
    assert found.action == f"{ADA.review.action} {ADA.ungradable.action}"


def test_a_visit_that_only_waits_says_so_and_asks_nobody_for_another_photograph() -> None:
    found = outcome.join("A", "v", [*of(Eye.LEFT, (WAITING,)), *of(Eye.RIGHT, (FIRM[0],))], ADA)
    assert (found.result, found.action) == ("incomplete", "Wait: not every capture of the visit is scored yet.")


def test_what_a_grade_leaves_open_is_said_with_it() -> None:
    nhs = POLICIES[2]
    found = outcome.join("A", "v", of(Eye.LEFT, (FIRM[2],)), nhs)
    assert found.not_derivable == nhs.not_derivable + nhs.grades[2].not_derivable
    assert outcome.join("A", "v", of(Eye.LEFT, (UNGRADABLE,)), nhs).not_derivable == nhs.not_derivable


READ = replace(FIRM[2], reviewed=True)


@pytest.mark.parametrize(
    ("left", "right", "done"),
    [
        ((FIRM[2],), (FIRM[0],), False),
        ((READ,), (FIRM[0],), True),
        ((READ, FIRM[3]), (FIRM[0],), False),
        ((READ, ABSTAINED[0]), (FIRM[0],), False),
        ((READ,), (WAITING,), False),
        ((READ,), (UNGRADABLE,), True),  # referred: the other eye changes nothing
        ((replace(FIRM[0], reviewed=True),), (UNGRADABLE,), False),  # a person made it incomplete
        ((FIRM[0],), (replace(UNGRADABLE, reviewed=True),), True),
        ((FIRM[0], UNGRADABLE), (replace(UNGRADABLE, reviewed=True),), True),
        ((replace(FIRM[0], reviewed=True),), (), True),  # nothing of the other eye that a person could read
        ((FIRM[0],), (), False),
        ((), (), False),
    ],
)
def test_a_visit_is_reviewed_once_people_have_read_what_needed_people(
    left: tuple[ScanResult, ...], right: tuple[ScanResult, ...], done: bool
) -> None:
    assert outcome.is_reviewed(of(Eye.LEFT, left) + of(Eye.RIGHT, right), ADA) is done
