"""Figures with their intervals from a table of predictions: pure NumPy and pandas, over the whole set, never by batch.

A table has a row a gradable photograph: patient, grade (reference), p0 to p4 (calibrated). Two kinds of interval stand
beside each other: ``low``/``high`` of a figure come from resampling patients (both eyes of a patient agree more than
two strangers' eyes do), ``wilson`` of a proportion takes every photograph for independent.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clarity import grades
from clarity.inference import decision
from clarity.inference.abstention import NEVER, Abstention
from clarity.records import Interval
from clarity.registry import agreement

Floats = NDArray[np.float64]
Counts = NDArray[np.int32]
OUTCOMES = {"referable": grades.REFERABLE_FROM, "vision_threatening": grades.VISION_THREATENING_FROM}
_Z95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Operating:
    """How probabilities become answers: the decision rule, a threshold an outcome, when a person decides instead."""

    decision: decision.Decision
    referable: float = 0.5
    vision_threatening: float = 0.5
    abstention: Abstention = NEVER


def qwk(truth: NDArray[np.integer], guess: NDArray[np.integer]) -> float:
    """Quadratic weighted kappa (Cohen 1968) of two (N,) arrays of grades; 0 where all are of one grade."""
    one = np.zeros(len(truth), dtype=np.int64)
    return float(agreement.qwk(agreement.patient_tables(one, truth, guess))[0]) if len(truth) else 0.0


def confusion(truth: NDArray[np.integer], guess: NDArray[np.integer]) -> NDArray[np.int64]:
    """(5, 5) counts, reference grade by predicted grade."""
    table = np.zeros((len(grades.GRADES), len(grades.GRADES)), dtype=np.int64)
    np.add.at(table, (np.asarray(truth), np.asarray(guess)), 1)
    return table


def wilson(hits: float, total: float) -> tuple[float, float]:
    """The 95 % interval of a proportion (Wilson, JASA 1927;22:209-12); NaN without a trial.

    ``wilson(9, 10)`` is (0.596, 0.982).
    """
    if total <= 0:
        return math.nan, math.nan
    share, square = hits / total, _Z95 * _Z95
    centre = (share + square / (2 * total)) / (1 + square / total)
    half = _Z95 / (1 + square / total) * math.sqrt(share * (1 - share) / total + square / (4 * total * total))
    low = 0.0 if hits == 0 else centre - half  # exact at both ends, where rounding would leave a speck
    return low, 1.0 if hits == total else centre + half


@dataclass(frozen=True, slots=True)
class Figures:
    """Every figure of one set by its plain name."""

    intervals: dict[str, Interval]
    """From resampled patients."""
    wilson: dict[str, tuple[float, float]]
    """Of the proportions only."""


def figures(frame: pd.DataFrame, operating: Operating, *, bootstrap: int, bins: int, seed: int = 0) -> Figures:
    """QWK, accuracy, calibration error, and by outcome AUROC, sensitivity and specificity, with intervals.

    A figure that the set does not define (no referable eye in it) is NaN with n = 0. ``n`` is the number of photographs
    behind it: all for QWK and AUROC, the diseased ones for sensitivity, the others for specificity.
    """
    draw = _Draw(frame, bootstrap, seed)
    truth = frame["grade"].to_numpy(dtype=np.int64)
    probability = agreement.probabilities(frame)
    guess = decision.grade(probability, operating.decision)
    found = {
        "qwk": draw.kappa(truth, guess),
        "accuracy": draw.share(guess == truth, np.ones(len(frame), bool)),
        "ece": draw.calibration(probability, truth, bins),
    }
    shares: dict[str, tuple[float, float]] = {"accuracy": wilson(float((guess == truth).sum()), len(frame))}
    for outcome, first in OUTCOMES.items():
        positive = truth >= first
        called = decision.positive(probability, getattr(operating, outcome), guess, first)
        found[f"auroc_{outcome}"] = draw.auroc(positive, probability[:, first:].sum(axis=1))
        for name, hit, of in (("sensitivity", called, positive), ("specificity", ~called, ~positive)):
            found[f"{name}_{outcome}"] = draw.share(hit, of)
            shares[f"{name}_{outcome}"] = wilson(float((hit & of).sum()), float(of.sum()))
    return Figures(found, shares)


class _Draw:
    """One set of resamples of patients, shared by all figures of a table."""

    def __init__(self, frame: pd.DataFrame, bootstrap: int, seed: int) -> None:
        self.codes, ids = pd.factorize(frame["patient"], sort=True)
        self.patients = len(ids)
        rng = np.random.default_rng(seed)
        self.counts: Counts = agreement.resamples(max(self.patients, 1), bootstrap, rng)[:, : self.patients]

    def kappa(self, truth: NDArray[np.int64], guess: NDArray[np.int64]) -> Interval:
        if not len(truth):
            return _interval(math.nan, np.array([]), 0)
        tables = agreement.patient_tables(self.codes, truth, guess)
        return _interval(float(agreement.qwk(tables)[0]), agreement.qwk(tables, self.counts), len(truth))

    def share(self, hit: NDArray[np.bool_], of: NDArray[np.bool_]) -> Interval:
        hits, total = self._by_patient((hit & of).astype(float)), self._by_patient(of.astype(float))
        drawn = _divide(self.counts @ hits, self.counts @ total)
        return _interval(agreement.share(hit, of), drawn, int(of.sum()))

    def calibration(self, probability: Floats, truth: NDArray[np.int64], bins: int) -> Interval:
        """Expected calibration error of the likeliest grade over equal-width bins (Guo et al. 2017)."""
        confidence, right = probability.max(axis=1), probability.argmax(axis=1) == truth
        where = np.minimum((confidence * bins).astype(int), bins - 1)
        gap = np.zeros((self.patients, bins))
        np.add.at(gap, (self.codes, where), confidence - right)
        total = self.counts @ self._by_patient(np.ones(len(truth)))
        drawn = np.abs(self.counts @ gap).sum(axis=1) / np.maximum(total, 1)
        value = float(np.abs(gap.sum(axis=0)).sum() / len(truth)) if len(truth) else math.nan
        return _interval(value, drawn, len(truth))

    def auroc(self, positive: NDArray[np.bool_], scores: Floats) -> Interval:
        _, order = np.unique(scores, return_inverse=True)
        drawn = [_weighted_auroc(positive, order, row[self.codes]) for row in self.counts]
        defined = 0 < int(positive.sum()) < len(positive)
        return _interval(agreement.auroc(positive, scores), np.array(drawn), len(positive) if defined else 0)

    def _by_patient(self, values: Floats) -> Floats:
        return np.bincount(self.codes, values, minlength=self.patients).astype(np.float64)


def _weighted_auroc(positive: NDArray[np.bool_], order: NDArray[np.intp], weight: Counts) -> float:
    """The area under weights: for each score, positives above the negatives below it, ties half."""
    ups = np.bincount(order, weight * positive)
    downs = np.bincount(order, weight * ~positive)
    pairs = float(ups.sum() * downs.sum())
    return float((ups * (np.cumsum(downs) - downs / 2)).sum() / pairs) if pairs else math.nan


def _interval(value: float, drawn: Floats, n: int) -> Interval:
    """Percentiles of the resamples in which the figure is defined; no interval where it itself is not."""
    drawn = drawn[np.isfinite(drawn)]
    if math.isnan(value) or not len(drawn):
        return Interval(math.nan, math.nan, math.nan, 0)
    return Interval(value, *agreement.interval(drawn), n)


def _divide(top: Floats, bottom: Floats) -> Floats:
    out = np.full(top.shape, np.nan)
    np.divide(top, bottom, out=out, where=bottom > 0)
    return out
