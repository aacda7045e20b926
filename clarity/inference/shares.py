"""How the photographs of a set fall into bins: what a bundle keeps of its validation split, and a night of itself."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

BINS = 5
UNKNOWN, OTHER = "unknown", "another"
_APART = 0.02
"""Between two edges, at least: rounding at another precision must not look like other photographs."""
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Shares:
    """Photographs by bin, and how many patients stand behind them."""

    labels: tuple[str, ...]
    counts: tuple[int, ...]
    """Photographs, by bin."""
    patients: int
    edges: tuple[float, ...] = ()
    """Between the bins of a number, ascending; none where the labels are names."""

    def __post_init__(self) -> None:
        if len(self.counts) != len(self.labels) or (self.edges and len(self.edges) + 1 != len(self.labels)):
            raise ValueError(f"{len(self.labels)} labels, {len(self.counts)} counts, {len(self.edges)} edges: no bins")
        if min((*self.counts, self.patients)) < 0:
            raise ValueError(f"counts {self.counts} of {self.patients} patients: negative")

    def plain(self) -> Floats:
        """Shares of the photographs; all 0 where there are none."""
        counts = np.asarray(self.counts, dtype=np.float64)
        plain: Floats = counts / max(1.0, counts.sum())
        return plain

    def smoothed(self) -> Floats:
        """The same with half a patient added to each bin, so that none is empty."""
        evidence = self.plain() * self.patients + 0.5
        smoothed: Floats = evidence / evidence.sum()
        return smoothed


def binned(values: Sequence[float] | NDArray[np.floating], patients: int) -> Shares:
    """Scores in at most BINS bins with about equally many in each, all edges inside the range of the scores.

    Where they all lie close together the bins are that range, what is below and what is above it.
    """
    found = np.asarray(values, dtype=np.float64)
    if not len(found):
        return fall(found, (), 0)
    low, high = float(found.min()), float(found.max())
    edges = [low - _APART, high + _APART] if high - low < 2 * _APART else []
    for cut in np.quantile(found, np.arange(1, BINS) / BINS) if not edges else ():
        inside = min(max(float(cut), low + _APART), high - _APART)
        if not edges or inside >= edges[-1] + _APART:
            edges.append(inside)
    return fall(found, tuple(round(edge, 4) for edge in edges), patients)


def fall(values: Sequence[float] | NDArray[np.floating], edges: tuple[float, ...], patients: int) -> Shares:
    """Scores in given bins; an edge belongs to the bin above it."""
    found = np.asarray(values, dtype=np.float64)
    counts = np.bincount(np.searchsorted(np.asarray(edges), found, side="right"), minlength=len(edges) + 1)
    between = [f"{low:.2f} to {high:.2f}" for low, high in pairwise(edges)]
    labels = (f"below {edges[0]:.2f}", *between, f"from {edges[-1]:.2f}") if edges else ("all",)
    return Shares(labels, tuple(int(count) for count in counts), patients, edges)


def mix(names: Iterable[str | None], patients: int) -> Shares:
    """Names as they are; one that is not known is "unknown"."""
    counts = Counter(name or UNKNOWN for name in names)
    ordered = sorted(counts)
    return Shares(tuple(ordered), tuple(counts[name] for name in ordered), patients)


def unknown(one: Shares) -> bool:
    """Whether no name of a mix is known."""
    return set(one.labels) <= {UNKNOWN}


def aligned(reference: Shares, night: Shares) -> tuple[Shares, Shares]:
    """Two mixes with the reference's names; whatever else the night has is "another"."""
    known = dict(zip(night.labels, night.counts, strict=True))
    new = sum(count for name, count in known.items() if name not in reference.labels)
    labels = (*reference.labels, OTHER)
    counts = (*(known.get(name, 0) for name in reference.labels), new)
    return Shares(labels, (*reference.counts, 0), reference.patients), Shares(labels, counts, night.patients)
