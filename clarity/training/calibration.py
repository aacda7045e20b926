"""Temperature and operating thresholds, fitted on the validation split and nowhere else; the reliability table."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clarity.inference import decision

Floats = NDArray[np.float64]
_RANGE = (0.05, 20.0)


def fit_temperature(logits: NDArray[np.floating], truth: NDArray[np.integer]) -> float:
    """The T > 0 that minimises the negative log-likelihood of softmax(logits / T) (Guo et al. 2017).

    (N, 5) logits, (N,) grades. The loss is convex in 1/T, so a golden-section search over log T finds it; 1.0 without
    a photograph to fit on.
    """
    if not len(truth):
        return 1.0
    low, high = float(np.log(_RANGE[0])), float(np.log(_RANGE[1]))
    golden = (np.sqrt(5.0) - 1) / 2
    for _ in range(60):
        left, right = high - golden * (high - low), low + golden * (high - low)
        if log_loss(logits, truth, float(np.exp(left))) < log_loss(logits, truth, float(np.exp(right))):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))


def log_loss(logits: NDArray[np.floating], truth: NDArray[np.integer], temperature: float = 1.0) -> float:
    """Mean negative log-likelihood of the reference grades, nats."""
    probability = decision.probabilities(logits, temperature)
    return float(-np.log(np.maximum(probability[np.arange(len(truth)), truth], 1e-12)).mean())


def threshold(scores: Floats, positive: NDArray[np.bool_], target: float) -> float:
    """The highest threshold at which ``scores >= threshold`` finds the ``target`` share of the positives.

    0.5 where there is no positive to choose it on. It lies midway between the score that it must still catch and the
    next lower one, so that a rounding in the last digit changes nobody's answer.
    """
    if not positive.any():
        return 0.5
    caught = np.sort(scores[positive])[::-1]
    needed = int(np.ceil(target * len(caught) - 1e-9))
    edge = float(caught[max(needed, 1) - 1])
    below = scores[scores < edge]
    lower = float(below.max()) if len(below) else 0.0
    midway = (edge + lower) / 2
    return float(np.clip(midway if midway > lower else edge, 0.0, 1.0))  # neighbours have nothing between them


@dataclass(frozen=True, slots=True)
class Bin:
    """One bar of the reliability diagram."""

    low: float
    high: float
    confidence: float
    accuracy: float
    n: int


def reliability(probability: Floats, truth: NDArray[np.integer], bins: int) -> list[Bin]:
    """Confidence of the likeliest grade against how often it is right, over equal-width bins; empty ones left out."""
    confidence, right = probability.max(axis=1), probability.argmax(axis=1) == truth
    where = np.minimum((confidence * bins).astype(int), bins - 1)
    return [
        Bin(k / bins, (k + 1) / bins, float(confidence[where == k].mean()), float(right[where == k].mean()), int(n))
        for k, n in enumerate(np.bincount(where, minlength=bins))
        if n
    ]


def expected_error(table: list[Bin]) -> float:
    """Expected calibration error: the mean gap between confidence and accuracy, weighted by the bins' counts."""
    total = sum(b.n for b in table)
    return sum(b.n * abs(b.confidence - b.accuracy) for b in table) / total if total else float("nan")
