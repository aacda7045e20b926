"""One outcome a patient's visit, from all its captures: pure, and never a silent "no DR".

Rule (shared with the trials that clear such systems): the worse eye over all captures decides. An eye without one
gradable capture makes the outcome incomplete, unless the other eye already refers. Macular oedema is not assessed.
"""

from collections.abc import Sequence

from clarity import grades
from clarity.records import Eye, Outcome, ScanResult

REFER, NO_REFERRAL, INCOMPLETE = "refer", "no referral", "incomplete"
_EYES = (Eye.LEFT, Eye.RIGHT)


def join(patient: str, visit: str, captures: Sequence[ScanResult]) -> Outcome:
    """The outcome of a visit from the results of its captures, whatever their order.

    A capture that still waits for the model makes an outcome that does not refer incomplete: what it would show is
    not known. The reasons say what is known of each eye, in words.
    """
    by_eye = {eye: [capture for capture in captures if capture.eye == eye] for eye in _EYES}
    graded = {eye: _worst(found) for eye, found in by_eye.items()}
    known = [grade for grade in graded.values() if grade is not None]
    refers = any(_refers(capture) for capture in captures)
    unscored = any(waits(capture) for capture in captures)
    complete = len(known) == len(_EYES) and not unscored
    result = REFER if refers else NO_REFERRAL if complete else INCOMPLETE
    return Outcome(
        patient=patient,
        visit=visit,
        result=result,
        reasons=tuple(_sentence(eye, by_eye[eye], graded[eye]) for eye in _EYES),
        worst_grade=max(known, default=None),
        left_grade=graded[Eye.LEFT],
        right_grade=graded[Eye.RIGHT],
    )


def _worst(captures: Sequence[ScanResult]) -> int | None:
    return max((capture.grade for capture in captures if capture.grade is not None), default=None)


def _refers(capture: ScanResult) -> bool:
    """By the operating threshold, or by the grade itself: one may call what the other does not."""
    return capture.grade is not None and (capture.referable or grades.is_referable(capture.grade))


def waits(capture: ScanResult) -> bool:
    """Whether a model still has to say something of it."""
    return capture.grade is None and capture.state in ("registered", "scored")


def _sentence(eye: Eye, captures: Sequence[ScanResult], grade: int | None) -> str:
    """For example "left eye: grade 1, mild NPDR; 1 capture ungradable (blurred)"."""
    parts = [f"grade {grade}, {grades.name(grade)}"] if grade is not None else []
    if grade is not None and not grades.is_referable(grade) and any(_refers(capture) for capture in captures):
        parts.append("referable by the operating threshold")
    for state, found in (
        ("ungradable", [c for c in captures if c.state == "ungradable"]),
        ("in quarantine", [c for c in captures if c.state == "quarantined"]),
        ("not scored yet", [c for c in captures if waits(c)]),
    ):
        if found:
            said = sorted({reason for capture in found for reason in capture.reasons})
            parts.append(_count(len(found), state) + (f" ({', '.join(said)})" if said else ""))
    return f"{eye} eye: {'; '.join(parts) or 'no capture'}"


def _count(number: int, state: str) -> str:
    return f"{number} capture{'s' if number > 1 else ''} {state}"
