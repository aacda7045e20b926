"""Coverage beside accuracy: how well the network does on the photographs that it does not hand over to a person."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from clarity.records import Interval
from clarity.training import metrics
from clarity.training.metrics import Figures

REASONS = ("near_threshold", "unfamiliar")
"""Columns of a table of predictions: why a person decides. Both may hold of one photograph."""


@dataclass(frozen=True, slots=True)
class Selective:
    """What the network decides on itself, of one set."""

    coverage: Interval
    """Share of the gradable photographs; Wilson's interval."""
    reasons: dict[str, int]
    """Photographs that are handed over, by reason."""
    figures: Figures
    """Of the photographs that it decides on."""

    def plain(self) -> dict[str, Interval]:
        """The coverage and the figures that are defined, by their plain names."""
        return {"coverage": self.coverage} | {name: one for name, one in self.figures.intervals.items() if one.n}


def measure(frame: pd.DataFrame, figures: Callable[[pd.DataFrame], Figures]) -> Selective:
    """``frame``: predictions with the columns REASONS. ``figures`` judges the rows of which none holds."""
    decided = ~frame[list(REASONS)].any(axis=1)
    low, high = metrics.wilson(float(decided.sum()), len(frame))
    share = float(decided.mean()) if len(frame) else float("nan")
    return Selective(
        coverage=Interval(share, low, high, len(frame)),
        reasons={name: int(frame[name].sum()) for name in REASONS},
        figures=figures(frame[decided]),
    )
