"""What changed between two visits of a patient, eye by eye. Pure.

What is compared is what stands: a person's grade where one has read the eye, the model's otherwise. An eye that one of
the visits could not grade is not comparable, which is never "the same".
"""

from dataclasses import dataclass
from typing import Literal

from clarity.storage.history import Joined, PastVisit

Verdict = Literal["better", "worse", "same", "not comparable"]


@dataclass(frozen=True, slots=True)
class EyeChange:
    """Grades of one eye, None where there is none."""

    eye: Literal["left", "right"]
    before: int | None
    now: int | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Since:
    """A visit against the one before it."""

    before: PastVisit
    eyes: tuple[EyeChange, EyeChange]
    result_before: str | None
    result_now: str | None
    same_model: bool
    """One model version stands behind both: a change is the eye's, or a person's."""


def since(before: PastVisit, now: PastVisit) -> Since:
    """What changed from the earlier visit to the later."""
    was, stands = _standing(before), _standing(now)
    return Since(
        before,
        (
            _eye("left", was.left_grade if was else None, stands.left_grade if stands else None),
            _eye("right", was.right_grade if was else None, stands.right_grade if stands else None),
        ),
        was.result if was else None,
        stands.result if stands else None,
        was is not None
        and stands is not None
        and (was.model, was.model_version) == (stands.model, stands.model_version),
    )


def _standing(visit: PastVisit) -> Joined | None:
    return next((one for one in visit.outcomes if not one.superseded), None)


def _eye(eye: Literal["left", "right"], before: int | None, now: int | None) -> EyeChange:
    if before is None or now is None:
        return EyeChange(eye, before, now, "not comparable")
    return EyeChange(eye, before, now, "same" if now == before else "worse" if now > before else "better")
