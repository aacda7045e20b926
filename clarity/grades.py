"""The International Clinical Diabetic Retinopathy scale: the only place that knows grades and the referable rule.

Source: Wilkinson et al., Ophthalmology 2003;110:1677-82.
"""

from collections.abc import Sequence

GRADES: tuple[int, ...] = (0, 1, 2, 3, 4)
NAMES: tuple[str, ...] = ("no apparent DR", "mild NPDR", "moderate NPDR", "severe NPDR", "proliferative DR")
REFERABLE_FROM = 2
"""More than mild DR (mtmDR): the grade from which a patient is referred."""
VISION_THREATENING_FROM = 3
"""Vision-threatening DR (vtDR): severe NPDR or worse."""


def is_grade(value: object) -> bool:
    """True for the integers 0 to 4 and nothing else (True is not a grade)."""
    return isinstance(value, int) and not isinstance(value, bool) and value in GRADES


def name(grade: int) -> str:
    """The clinic's name of a grade, for example ``name(2) == "moderate NPDR"``.

    Raises ValueError outside 0 to 4.
    """
    if not is_grade(grade):
        raise ValueError(f"grade {grade!r}: not one of the ICDR grades 0 to 4")
    return NAMES[grade]


def is_referable(grade: int) -> bool:
    """More than mild DR. Macular oedema, which also refers, is not assessed by a five-grade network."""
    return grade >= REFERABLE_FROM


def is_vision_threatening(grade: int) -> bool:
    """Severe NPDR or proliferative DR. Macular oedema is not assessed."""
    return grade >= VISION_THREATENING_FROM


def referable_probability(probabilities: Sequence[float]) -> float:
    """P(grade >= 2), from five probabilities in grade order."""
    return float(sum(probabilities[REFERABLE_FROM:]))


def vision_threatening_probability(probabilities: Sequence[float]) -> float:
    """P(grade >= 3), from five probabilities in grade order."""
    return float(sum(probabilities[VISION_THREATENING_FROM:]))


def expected_grade(probabilities: Sequence[float]) -> float:
    """The mean grade under five probabilities, in [0, 4]: what squared error and QWK reward."""
    return float(sum(grade * p for grade, p in zip(GRADES, probabilities, strict=True)))
