"""One outcome a patient's visit, from all its captures, under a referral policy: pure, and never a silent "no DR".

The worse eye over all captures decides. What refers firmly, refers. Else a capture on which the model abstains is for
a person; else an eye without one gradable capture, or a capture that still waits for the model, leaves the outcome
incomplete. Macular oedema is not assessed. (The rule of the trials that clear such systems, see ``conf/policies``.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from clarity import grades
from clarity.records import Eye, Outcome, ScanResult
from clarity.screening import sentences
from clarity.screening.policy import Policy, Step
from clarity.storage.visits import visited_on

REFER, REVIEW, INCOMPLETE, NO_REFERRAL = "refer", "review", "incomplete", "no referral"
THREATENING, REFERABLE, UNCERTAIN, UNFINISHED, NOTHING = range(5)
"""Priorities of the worklist."""
_EYES = (Eye.LEFT, Eye.RIGHT)
_WAITING = "Wait: not every capture of the visit is scored yet."


def join(patient: str, visit: str, captures: Sequence[ScanResult], policy: Policy) -> Outcome:
    """The outcome of a visit from the results of its captures, whatever their order.

    The day of the visit, from which the next step's due date is counted, is ``storage.visits.visited_on`` of the
    captures' times; without any there is no due date. The reasons say what is known of each eye, in words.
    """
    found = _Visit(tuple(captures), policy)
    day = visited_on(visit, ((capture.captured_at, capture.registered_at) for capture in captures))
    steps = found.steps()
    step = policy.grades[found.severity] if found.severity is not None else None
    return Outcome(
        patient=patient,
        visit=visit,
        result=found.result,
        reasons=sentences.of(captures),
        worst_grade=max((capture.grade for capture in captures if capture.grade is not None), default=None),
        left_grade=found.grade(Eye.LEFT),
        right_grade=found.grade(Eye.RIGHT),
        policy=policy.label,
        action=" ".join([step.action for step in steps] or [_WAITING]),
        not_derivable=policy.not_derivable + (step.not_derivable if step else ()),
        due_on=_due(day, found.bounds()),
        priority=found.priority,
    )


def waits(capture: ScanResult) -> bool:
    """Whether a model still has to say something of it."""
    return capture.grade is None and capture.state in ("registered", "scored")


def severity(capture: ScanResult) -> int | None:
    """Its grade, or the mildest that agrees with its operating thresholds: one may call what the other does not."""
    if capture.grade is None:
        return None
    least = grades.REFERABLE_FROM if capture.referable else 0
    return max(capture.grade, grades.VISION_THREATENING_FROM if capture.vision_threatening else least)


def is_reviewed(captures: Sequence[ScanResult], policy: Policy) -> bool:
    """Whether people have read what this visit needed people for, and at least one capture of it.

    Needed: each capture that refers or on which the model abstains; in an outcome that is for review or incomplete
    also the ungradable captures of an eye without a grade. An eye without any capture needs nobody to read it.
    """
    found = _Visit(tuple(captures), policy)
    if not any(capture.reviewed for capture in captures) or any(map(waits, captures)):
        return False
    return all(capture.reviewed or not found.asks(capture) for capture in captures)


@dataclass(frozen=True, slots=True)
class _Visit:
    captures: tuple[ScanResult, ...]
    policy: Policy

    @property
    def severity(self) -> int | None:
        return max((grade for capture in self.captures if (grade := severity(capture)) is not None), default=None)

    @property
    def unread(self) -> bool:
        """An eye without one gradable capture that is not going to get one from the captures that wait."""
        return any(self.grade(eye) is None and not any(map(waits, self._of(eye))) for eye in _EYES)

    @property
    def result(self) -> str:
        if any(self._refers(capture) and not capture.review_reasons for capture in self.captures):
            return REFER
        if any(capture.grade is not None and capture.review_reasons for capture in self.captures):
            return REVIEW
        if any(self.grade(eye) is None for eye in _EYES) or any(map(waits, self.captures)):
            return INCOMPLETE
        return NO_REFERRAL

    @property
    def priority(self) -> int:
        """What may be vision-threatening comes first, however sure the model is of it."""
        if self.severity is not None and grades.is_vision_threatening(self.severity):
            return THREATENING
        return {REFER: REFERABLE, REVIEW: UNCERTAIN, INCOMPLETE: UNFINISHED, NO_REFERRAL: NOTHING}[self.result]

    def grade(self, eye: Eye) -> int | None:
        return max((capture.grade for capture in self._of(eye) if capture.grade is not None), default=None)

    def steps(self) -> list[Step]:
        """What is to be done: of a visit that does not refer, also about an eye that could not be read."""
        if self.result in (REFER, NO_REFERRAL):
            return [self.policy.grades[self.severity or 0]]
        review = [self.policy.review] if self.result == REVIEW else []
        return review + ([self.policy.ungradable] if self.unread else [])

    def bounds(self) -> list[Step]:
        """The steps whose time runs: also the one of what is suspected and not yet sure."""
        steps = self.steps() or [self.policy.ungradable]
        return steps + ([self.policy.grades[self.severity]] if self.severity is not None else [])

    def asks(self, capture: ScanResult) -> bool:
        """Whether a person has to read this capture."""
        if capture.grade is not None:
            return self._refers(capture) or bool(capture.review_reasons)
        unsettled = self.result in (REVIEW, INCOMPLETE)
        lacking = capture.eye not in _EYES or self.grade(capture.eye) is None
        return unsettled and lacking and capture.state == "ungradable"

    def _of(self, eye: Eye) -> list[ScanResult]:
        return [capture for capture in self.captures if capture.eye == eye]

    def _refers(self, capture: ScanResult) -> bool:
        grade = severity(capture)
        return grade is not None and self.policy.grades[grade].refers


def _due(day: date | None, steps: Sequence[Step]) -> date | None:
    return min(step.within.after(day) for step in steps) if day is not None else None
