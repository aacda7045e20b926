"""Photographs of known answer that ride in every night: drawn phantoms in the bundle, and what each form said of them.

A machine, a library or a file that changes an answer changes it for these too, and somebody is told before a patient
is. ``training.canaries`` draws them and asks each form; here is the asking again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clarity import grades
from clarity.errors import BundleError, ClarityError
from clarity.inference.processor import Precision

if TYPE_CHECKING:
    from clarity.inference.grader import Graded, Grader

TOLERANCE: dict[Precision, float] = {"fp32": 0.01, "bf16": 0.02, "int8": 0.02}
"""How far a probability may lie from what was measured when the bundle was made.

Measured on a ResNet-50 trained on phantoms, 40 phantoms: the same form alone, in a batch, with other threads 0; fp32 in
ONNX Runtime 0.000001; bf16 without the processor's bf16 instructions 0.0001, against fp32 0.005; int8 with its float
part in fp32 0.0005. All of that is far below; the room is for a CPU whose image code rounds otherwise: with every pixel
of a prepared image up to one grey level off, 0.009. int8 where its sums saturate (no VNNI) is 0.07 off, and so found.
"""


@dataclass(frozen=True, slots=True)
class Expected:
    """What one form said. An ungradable one has no grade and no probabilities."""

    gradable: bool
    reasons: tuple[str, ...] = ()
    """Of the quality gate."""
    grade: int | None = None
    probabilities: tuple[float, ...] = ()
    """Five, calibrated."""


@dataclass(frozen=True, slots=True)
class Canary:
    """One of them."""

    file: str
    """In the bundle's folder."""
    drawn_grade: int
    """What was drawn; the network may see another, and must go on seeing it."""
    drawn_gradable: bool
    expected: dict[Precision, Expected]


def check(grader: "Grader") -> list[str]:
    """A sentence for each canary that does not come back as it was; nothing where all do, or the bundle has none.

    Grade and quality verdict must be equal, a probability within TOLERANCE of the engine's precision. A file that
    cannot be read is a sentence too.
    """
    precision, kept = grader.engine.precision, grader.bundle.spec.canaries
    try:
        photographs = read(grader, kept)
    except BundleError as error:
        return [str(error)]
    found = grader.grade(photographs)
    checked = (_differs(one, precision, result) for one, result in zip(kept, found, strict=True))
    return [sentence for sentence in checked if sentence]


def read(grader: "Grader", canaries: Sequence[Canary]) -> list[bytes]:
    """Their bytes. Raises BundleError."""
    folder = grader.bundle.path
    try:
        return [(folder / one.file).read_bytes() for one in canaries]
    except OSError as error:
        raise BundleError(f"canaries of {folder}: {error.strerror}, they cannot be checked") from None


def said(result: "Graded | ClarityError") -> Expected:
    """What a form says of a photograph. Raises the error that it is."""
    if isinstance(result, ClarityError):
        raise result
    quality, prediction = result.quality, result.prediction
    if prediction is None:
        return Expected(gradable=False, reasons=quality.reasons)
    return Expected(gradable=True, grade=prediction.grade, probabilities=prediction.probabilities)


def robust(expected: Expected, precision: Precision, decision: str) -> float:
    """How much room is left before another CPU, within the tolerance, might give another grade; below 0: none.

    The mean grade of probabilities that are each off by at most t is off by at most 6 t (grades 3 and 4 up, 0 and 1
    down), so it must lie that far from where it is rounded; the likeliest grade must lead by 2 t.
    """
    if not expected.gradable:
        return 1.0
    away = TOLERANCE[precision]
    if decision == "expected":
        mean = sum(grade * p for grade, p in zip(grades.GRADES, expected.probabilities, strict=True))
        return min(abs(mean - edge) for edge in (0.5, 1.5, 2.5, 3.5)) - 6 * away
    first, second = sorted(expected.probabilities, reverse=True)[:2]
    return first - second - 2 * away


def _differs(canary: Canary, precision: Precision, result: "Graded | ClarityError") -> str | None:
    wanted = canary.expected.get(precision)
    if wanted is None:
        return f"{canary.file}: nothing is known of it at {precision}, it cannot be checked"
    if isinstance(result, ClarityError):
        return f"{canary.file}: {result}; {_words(wanted)} when the bundle was made"
    now = said(result)
    if (now.gradable, now.reasons, now.grade) != (wanted.gradable, wanted.reasons, wanted.grade):
        return f"{canary.file}: {_words(now)} at {precision}, {_words(wanted)} when the bundle was made"
    off = max((abs(a - b) for a, b in zip(now.probabilities, wanted.probabilities, strict=True)), default=0.0)
    if off > TOLERANCE[precision]:
        limit = f"at most {TOLERANCE[precision]:g} at {precision}"
        return f"{canary.file}: a probability differs by {off:.2g} from when the bundle was made, {limit}"
    return None


def _words(one: Expected) -> str:
    return f"grade {one.grade}" if one.gradable else f"ungradable ({', '.join(one.reasons)})"
