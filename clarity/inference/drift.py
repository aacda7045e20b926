"""Have the photographs changed since training? A night beside the bundle's reference, by the stability index.

PSI = Σ (p - q)·ln(p / q) over bins, p of the night and q of the reference. Where nothing has changed,
PSI / (1/n + 1/m) is about chi-square with (bins - 1) degrees of freedom (Yurdakul 2018, "Statistical properties of
population stability index", Western Michigan University), so a rate of false alarms gives the critical value. n and m
count patients and not photographs: those of one patient resemble each other and are no independent evidence.
Measured at a stated 0.001, reference of 150 patients, each of 10,000 clean nights: 0.0022 at most for nights of 40
patients, 0.0013 for 200, 0.0007 for 2,000.

A change is told only where it also matters: PSI above 0.10, the usual first mark (Siddiqi 2006, "Credit risk
scorecards"); a large night shows every trifle. The rate holds for patients who come independently of each other: a
clinic that sends only on Mondays is a change of the camera mix, and is told as one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from clarity.inference.shares import Shares, aligned, fall, mix, unknown

LEAST_PSI = 0.10
LEAST_PATIENTS = 30
"""In the night and in the reference: below, too few to say."""
Numbers = Sequence[float] | NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Reference:
    """The validation split as the network saw it; what nights are compared with."""

    quality: Shares
    """Quality score of every photograph that could be prepared."""
    score: Shares
    """Calibrated referable probability of the gradable ones."""
    cameras: Shares
    """Only "unknown" where the data set does not say."""
    false_alarms: float
    """Of clean nights, by each of the three."""


@dataclass(frozen=True, slots=True)
class Night:
    """What a night saw. Any order; photographs that nobody could read are in none of them."""

    qualities: Numbers
    """Quality scores, of ungradable photographs too."""
    scores: Numbers
    """Referable probabilities, of one model version."""
    cameras: Sequence[str | None]
    patients: int | None = None
    """How many patients the photographs are of; None takes every photograph for another patient."""


@dataclass(frozen=True, slots=True)
class Drift:
    """The verdict on one distribution."""

    name: str
    """"quality", "referable probability" or "camera"."""
    found: bool
    sentence: str
    n: int
    """Photographs of the night."""
    psi: float | None = None
    """None where nothing can be said."""
    critical: float | None = None
    """PSI above it is drift."""


def compare(reference: Reference, night: Night) -> list[Drift]:
    """Quality, referable probability and camera of the night beside the reference, in this order."""
    rate = reference.false_alarms

    def people(photographs: int) -> int:
        return photographs if night.patients is None else min(photographs, night.patients)

    quality = fall(night.qualities, reference.quality.edges, people(len(night.qualities)))
    score = fall(night.scores, reference.score.edges, people(len(night.scores)))
    return [
        _judge("quality", reference.quality, quality, rate),
        _judge("referable probability", reference.score, score, rate),
        _cameras(reference.cameras, mix(night.cameras, people(len(night.cameras))), rate),
    ]


def psi(reference: Shares, night: Shares) -> float:
    """The stability index of two sets with the same bins, half a patient added to each bin of both."""
    p, q = night.smoothed(), reference.smoothed()
    return float(((p - q) * np.log(p / q)).sum())


def critical(reference: Shares, night: Shares, false_alarms: float) -> float:
    """The PSI that a share ``false_alarms`` of clean nights of this size passes, and never less than LEAST_PSI."""
    quantile = chi_square(1 - false_alarms, max(1, len(reference.labels) - 1))
    return max(LEAST_PSI, quantile * (1 / reference.patients + 1 / night.patients))


def chi_square(share: float, degrees: int) -> float:
    """The quantile of the chi-square distribution (Wilson and Hilferty, PNAS 1931;17:684): 1 to 3 % high at 0.999."""
    spread = 2 / (9 * degrees)
    return float(degrees * max(0.0, 1 - spread + NormalDist().inv_cdf(share) * spread**0.5) ** 3)


def _judge(name: str, reference: Shares, night: Shares, rate: float) -> Drift:
    total = sum(night.counts)
    for who, one in (("the night's", night), ("the reference's", reference)):
        if one.patients < LEAST_PATIENTS:
            few = f"{name}: too few to say, {who} {one.patients} patients, at least {LEAST_PATIENTS}"
            return Drift(name, False, few, total)
    found, limit = psi(reference, night), critical(reference, night, rate)
    if found <= limit:
        same = f"{name}: as in training, PSI {found:.2f}, at most {limit:.2f} ({total} photographs)"
        return Drift(name, False, same, total, found, limit)
    p, q = night.plain(), reference.plain()
    most = int(np.abs(p - q).argmax())
    text = f"{name}: changed since training, PSI {found:.2f}, above {limit:.2f}; {reference.labels[most]}: "
    text += f"{100 * p[most]:.0f} % of {total} photographs, {100 * q[most]:.0f} % in training"
    return Drift(name, True, text, total, found, limit)


def _cameras(reference: Shares, night: Shares, rate: float) -> Drift:
    for who, one in (("the training photographs'", reference), ("the night's", night)):
        if unknown(one):
            return Drift("camera", False, f"camera: not comparable, {who} cameras are not known", sum(night.counts))
    return _judge("camera", *aligned(reference, night), rate)
