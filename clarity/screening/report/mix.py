"""The grade mix of a night beside the nights before it: pure."""

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import TypedDict

from clarity import grades

FEWEST = 5
"""Nights before, below which nothing is said about "usual"."""
SIGMAS = 3.0
"""How surely a share has to lie beyond the range of the nights before."""


class Share(TypedDict):
    """One grade: tonight's share of the graded photographs, and the earlier nights'."""

    grade: int
    count: int
    share: float | None
    median: float | None
    low: float | None
    high: float | None
    outside: bool | None
    """Beyond the earlier nights' range by more than chance; None where that is not known."""


def compare(tonight: Mapping[int, int], earlier: Sequence[Mapping[str, int]]) -> list[Share]:
    """Each grade's share beside the median and range of the nights before (their counts by grade).

    A night that is small by itself scatters: it is outside where its whole interval (Wilson, JASA 1927;22:209-12, at
    three standard deviations) lies beyond the range.
    """
    total = sum(tonight.values())
    return [_share(grade, tonight.get(grade, 0), total, _shares(grade, earlier)) for grade in grades.GRADES]


def wilson(hits: int, total: int, z: float = SIGMAS) -> tuple[float, float]:
    """The interval of a proportion; ``wilson(0, 0)`` is (0, 1): nothing is known."""
    if not total:
        return 0.0, 1.0
    p, n = hits / total, total
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, (centre - half) / (1 + z * z / n)), min(1.0, (centre + half) / (1 + z * z / n))


def _shares(grade: int, earlier: Sequence[Mapping[str, int]]) -> list[float]:
    return [night.get(str(grade), 0) / sum(night.values()) for night in earlier if sum(night.values())]


def _share(grade: int, count: int, total: int, before: list[float]) -> Share:
    low, high = wilson(count, total)
    known = total > 0 and len(before) >= FEWEST
    return Share(
        grade=grade,
        count=count,
        share=count / total if total else None,
        median=median(before) if before else None,
        low=min(before, default=None),
        high=max(before, default=None),
        outside=(high < min(before) or low > max(before)) if known else None,
    )
