"""From logits to a grade and its two screening outcomes: pure functions, used by evaluation and by every prediction."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from clarity import grades
from clarity.inference import abstention as abstaining
from clarity.inference.abstention import Abstention
from clarity.records import Prediction

Decision = Literal["expected", "argmax"]
Floats = NDArray[np.floating]


def probabilities(logits: Floats, temperature: float) -> NDArray[np.float64]:
    """Calibrated probabilities: softmax(logits / temperature), (N, 5) -> (N, 5) float64 (Guo et al. 2017)."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def grade(probability: Floats, decision: Decision) -> NDArray[np.int64]:
    """(N, 5) probabilities -> (N,) grades.

    ``expected`` rounds the mean grade, which squared error and QWK reward; a half rounds up, to the worse grade.
    ``argmax`` takes the likeliest grade; of equals the worse one.
    """
    if decision == "expected":
        mean = np.asarray(probability, dtype=np.float64) @ np.asarray(grades.GRADES, dtype=np.float64)
        chosen = np.floor(mean + 0.5 + 1e-9)
    else:
        chosen = len(grades.GRADES) - 1 - np.asarray(probability)[:, ::-1].argmax(axis=1)
    graded: NDArray[np.int64] = chosen.astype(np.int64)
    return graded


def positive(probability: Floats, threshold: float, grade: NDArray[np.int64], from_grade: int) -> NDArray[np.bool_]:
    """(N,) whether an outcome ("grade >= from_grade") is called, at the operating threshold on its probability.

    A photograph that is itself graded ``from_grade`` or worse is always called: an answer that reads "moderate NPDR,
    not referable" would contradict the scale.
    """
    tail = np.asarray(probability)[:, from_grade:].sum(axis=1)
    called: NDArray[np.bool_] = (tail >= threshold) | (grade >= from_grade)
    return called


def predict(
    logits: Floats,
    *,
    temperature: float,
    decision: Decision,
    referable_threshold: float,
    vision_threatening_threshold: float,
    abstention: Abstention | None,
    model_version: str,
    fingerprint: str,
    precision: str,
) -> list[Prediction]:
    """(N, 5) logits -> N predictions. Without an ``abstention`` the model decides on every photograph."""
    p = probabilities(logits, temperature)
    graded = grade(p, decision)
    referable = positive(p, referable_threshold, graded, grades.REFERABLE_FROM)
    threatening = positive(p, vision_threatening_threshold, graded, grades.VISION_THREATENING_FROM)
    energies = abstaining.energy(logits, temperature)
    review = abstaining.reasons(p, energies, referable_threshold, abstention or abstaining.NEVER)
    return [
        Prediction(
            grade=int(graded[i]),
            name=grades.name(int(graded[i])),
            probabilities=tuple(float(value) for value in p[i]),
            confidence=float(p[i, graded[i]]),
            referable=bool(referable[i]),
            referable_probability=grades.referable_probability(p[i]),
            vision_threatening=bool(threatening[i]),
            vision_threatening_probability=grades.vision_threatening_probability(p[i]),
            model_version=model_version,
            fingerprint=fingerprint,
            review_reasons=review[i],
            energy=float(energies[i]),
            precision=precision,
        )
        for i in range(len(p))
    ]
