"""When the model does not decide: too near to the referable threshold, or a photograph unlike those it learnt from.

The grade stays; a person has to look, and is told why.
"""

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from clarity import grades

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Abstention:
    """Where the model hands over to a person; chosen on the validation split."""

    margin: Annotated[float, Field(ge=0, le=1)]
    """Nearer than this to the referable threshold, on the calibrated probability; 0: never for this reason."""
    energy: Annotated[float, Field(allow_inf_nan=False)] | None
    """Photographs above it are unlike those of the validation split; None: never for this reason."""


NEVER = Abstention(margin=0.0, energy=None)
"""Of a network that nobody has evaluated: it decides on everything."""


def energy(logits: NDArray[np.floating], temperature: float) -> Floats:
    """Free energy -T·logsumexp(logits / T), (N, 5) -> (N,): higher is stranger (Liu et al., NeurIPS 2020, eq. 4).

    T is the temperature of the calibration, so that what is said of a photograph rests on one set of scaled logits.
    """
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    top = scaled.max(axis=1)
    free: Floats = -temperature * (top + np.log(np.exp(scaled - top[:, None]).sum(axis=1)))
    return free


def choose(probability: Floats, energies: Floats, threshold: float, near: float, strange: float) -> Abstention:
    """The abstention that hands over the shares ``near`` and ``strange`` of these photographs, at least one of each.

    (N, 5) calibrated probabilities and (N,) energies of the validation split. A cut lies midway between the last
    photograph that is handed over and the next, so that a rounding in the last digit changes nobody's answer; equally
    near or strange ones go together, also beyond the share. A share of 0 hands over nobody.
    """
    distance = _distance(probability, threshold)
    margin = _cut(distance, near) if near and len(distance) else 0.0
    return Abstention(margin, -_cut(-energies, strange) if strange and len(energies) else None)


def near_threshold(probability: Floats, threshold: float, rule: Abstention) -> NDArray[np.bool_]:
    """(N, 5) calibrated probabilities -> (N,) whether the referable probability is too near to its threshold."""
    near: NDArray[np.bool_] = _distance(probability, threshold) < rule.margin
    return near


def unfamiliar(energies: Floats, rule: Abstention) -> NDArray[np.bool_]:
    """(N,) energies -> (N,) whether the photograph is too strange."""
    strange: NDArray[np.bool_] = np.asarray(energies) > (math.inf if rule.energy is None else rule.energy)
    return strange


def reasons(probability: Floats, energies: Floats, threshold: float, rule: Abstention) -> list[tuple[str, ...]]:
    """Why each of N photographs goes to a person, sentences; empty where the model decides."""
    near, strange = near_threshold(probability, threshold, rule), unfamiliar(energies, rule)
    return [
        ((_near(float(one[grades.REFERABLE_FROM :].sum()), threshold, rule),) if near[i] else ())
        + ((_strange(float(energies[i]), rule),) if strange[i] else ())
        for i, one in enumerate(probability)
    ]


def _near(probability: float, threshold: float, rule: Abstention) -> str:
    return (
        f"referable probability {probability:.3f}, within {rule.margin:.2g} of the operating threshold {threshold:.3f}"
    )


def _strange(found: float, rule: Abstention) -> str:
    return f"unlike the training photographs (energy {found:.3g}, above {rule.energy:.3g})"


def _distance(probability: Floats, threshold: float) -> Floats:
    away: Floats = np.abs(np.asarray(probability)[:, grades.REFERABLE_FROM :].sum(axis=1) - threshold)
    return away


def _cut(values: Floats, share: float) -> float:
    """Between the ``share`` smallest values, at least one, and the others; beyond the last where these are all.

    What differs from the last of them by rounding alone goes with it: a threshold lies midway between two photographs,
    which are as near to it as each other.
    """
    ordered = np.sort(values)
    edge = ordered[max(1, math.ceil(share * len(ordered) - 1e-9)) - 1]
    last = int(np.flatnonzero(np.isclose(ordered, edge, rtol=1e-6, atol=1e-12))[-1])
    if last + 1 == len(ordered):
        return float(np.nextafter(ordered[last], math.inf))
    return float((ordered[last] + ordered[last + 1]) / 2)
