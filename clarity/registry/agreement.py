"""Agreement of predictions with the reference, for one weighting of the patients or for thousands at once.

A resample of patients is a vector of how often each patient was drawn. Summing five-by-five tables of patients by those
counts gives the table of every resample in one matrix product, so 2,000 resamples cost milliseconds.
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clarity import grades

Floats = NDArray[np.float64]
PROBABILITIES = tuple(f"p{grade}" for grade in grades.GRADES)
_CLASSES = len(grades.GRADES)


def probabilities(frame: pd.DataFrame) -> Floats:
    """(N, 5) from the columns p0 to p4."""
    return frame[list(PROBABILITIES)].to_numpy(dtype=np.float64)


def patient_tables(patients: Any, truth: Any, guess: Any) -> Floats:
    """(P, 5, 5) counts: for each patient, reference grade by predicted grade. Patients in order of their ids."""
    codes, ids = pd.factorize(np.asarray(patients), sort=True)
    tables = np.zeros((len(ids), _CLASSES, _CLASSES))
    np.add.at(tables, (codes, np.asarray(truth, dtype=np.int64), np.asarray(guess, dtype=np.int64)), 1)
    return tables


def resamples(patients: int, count: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """(count, patients): how often each patient is drawn when as many as there are are drawn with replacement."""
    return rng.multinomial(patients, np.full(patients, 1 / patients), size=count).astype(np.int32)


def qwk(tables: Floats, counts: NDArray[Any] | None = None) -> Floats:
    """Quadratic weighted kappa of (P, 5, 5) patient tables under (B, P) counts, shape (B,); without counts, (1,).

    1 - sum(w * observed) / sum(w * expected), w = (i - j)^2 (Cohen, Psychological Bulletin 1968;70:213-20). Where the
    expected disagreement is 0 (all of one grade) kappa says nothing, and it is 0 here: no evidence of skill.
    """
    flat = tables.reshape(len(tables), -1)
    summed = flat.sum(axis=0, keepdims=True) if counts is None else counts.astype(np.float64) @ flat
    observed = summed.reshape(-1, _CLASSES, _CLASSES)
    index = np.arange(_CLASSES)
    weights = (index[:, None] - index[None, :]) ** 2
    total = np.maximum(observed.sum(axis=(1, 2)), 1)
    expected = observed.sum(axis=2)[:, :, None] * observed.sum(axis=1)[:, None, :] / total[:, None, None]
    disagreement, by_chance = (observed * weights).sum(axis=(1, 2)), (expected * weights).sum(axis=(1, 2))
    safe = np.where(by_chance > 0, by_chance, 1)
    return np.where(by_chance > 0, 1 - disagreement / safe, 0.0)


def interval(values: Floats, level: float = 0.95) -> tuple[float, float]:
    """The percentile interval of bootstrap values (Efron and Tibshirani 1993, chapter 13)."""
    tail = (1 - level) / 2 * 100
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)


def auroc(positive: NDArray[np.bool_], scores: Floats) -> float:
    """Area under the ROC curve by ranks, ties counted half (Hanley and McNeil, Radiology 1982;143:29-36).

    NaN where all rows are positive or none is.
    """
    ones = int(positive.sum())
    if ones in (0, len(positive)):
        return float("nan")
    ranks = pd.Series(scores).rank().to_numpy()
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * (len(positive) - ones)))


def share(mask: NDArray[np.bool_], of: NDArray[np.bool_]) -> float:
    """The share of the rows ``of`` in which ``mask`` holds; NaN where there are none."""
    return float(mask[of].mean()) if of.any() else float("nan")
