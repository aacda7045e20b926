"""What is known of each eye of a visit, in words that do not depend on the captures' order."""

from collections.abc import Sequence

from clarity import grades
from clarity.records import Eye, ScanResult


def of(captures: Sequence[ScanResult]) -> tuple[str, ...]:
    """A sentence for the left and the right eye, and one for captures of an eye that is not known."""
    by_eye = {eye: [capture for capture in captures if capture.eye == eye] for eye in Eye}
    shown = [eye for eye in Eye if by_eye[eye] or eye is not Eye.UNKNOWN]
    return tuple(_sentence(eye, by_eye[eye]) for eye in shown)


def _sentence(eye: Eye, captures: Sequence[ScanResult]) -> str:
    """For example "left eye: grade 1, mild NPDR; 1 capture ungradable (blurred)"."""
    parts = _graded([capture for capture in captures if capture.grade is not None])
    for state, found in (
        ("uncertain", [c for c in captures if c.grade is not None and c.review_reasons]),
        ("ungradable", [c for c in captures if c.state == "ungradable"]),
        ("in quarantine", [c for c in captures if c.state == "quarantined"]),
        ("not scored yet", [c for c in captures if c.grade is None and c.state in ("registered", "scored")]),
        ("read by a person", [c for c in captures if c.reviewed]),
    ):
        said = sorted({reason for c in found for reason in (*c.reasons, *c.review_reasons)})
        if found:
            listed = f" ({', '.join(said)})" if said and state != "read by a person" else ""
            parts.append(f"{len(found)} capture{'s' if len(found) > 1 else ''} {state}{listed}")
    return f"{eye} eye: {'; '.join(parts) or 'no capture'}"


def _graded(captures: Sequence[ScanResult]) -> list[str]:
    if not captures:
        return []
    worst = max(capture.grade for capture in captures if capture.grade is not None)
    parts = [f"grade {worst}, {grades.name(worst)}"]
    if not grades.is_referable(worst) and any(capture.referable for capture in captures):
        parts.append("referable by the operating threshold")
    if not grades.is_vision_threatening(worst) and any(capture.vision_threatening for capture in captures):
        parts.append("vision-threatening by the operating threshold")
    return parts
