"""The circle that most points of an edge lie on, however many do not."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_TRIALS = 200
_VOTERS = 240
_REFINEMENTS = 4

Points = NDArray[np.float64]
"""(N, 2) x, y."""


@dataclass(frozen=True, slots=True)
class Circle:
    """A fitted circle, in the pixels of its points."""

    cx: float
    cy: float
    radius: float
    support: float
    """Share of the points that lie on it, in [0, 1]."""


def fit(points: Points, *, least: float, most: float, tolerance: float) -> Circle | None:
    """The circle of radius ``least`` to ``most`` with most points within ``tolerance`` pixels, or None.

    Triples of points propose circles (RANSAC, Fischler and Bolles 1981, with a fixed seed: the same points give the
    same circle), least squares over the points on the best one settles it (Kasa 1976).
    """
    if len(points) < 12:
        return None
    proposals = _through(_triples(points))
    sound = np.isfinite(proposals).all(axis=1) & (proposals[:, 2] >= least) & (proposals[:, 2] <= most)
    proposals = proposals[sound]
    if not len(proposals):
        return None
    voters = points[:: 1 + len(points) // _VOTERS]
    votes = (_distances(voters, proposals) < tolerance).sum(axis=1)
    best = proposals[int(votes.argmax())]
    for _ in range(_REFINEMENTS):
        near = _distances(points, best[None])[0] < tolerance
        if near.sum() < 12:
            return None
        best = _least_squares(points[near])
    support = float((_distances(points, best[None])[0] < tolerance).mean())
    if not np.isfinite(best).all() or not least <= best[2] <= most:
        return None
    return Circle(float(best[0]), float(best[1]), float(best[2]), support)


def _triples(points: Points) -> NDArray[np.float64]:
    random = np.random.default_rng(len(points))
    return points[random.integers(0, len(points), (_TRIALS, 3))]


def _through(triples: NDArray[np.float64]) -> NDArray[np.float64]:
    a, b, c = triples[:, 0], triples[:, 1], triples[:, 2]
    ab, ac = b - a, c - a
    cross = 2 * (ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0])
    bb, cc = (ab**2).sum(axis=1), (ac**2).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        x = (ac[:, 1] * bb - ab[:, 1] * cc) / cross
        y = (ab[:, 0] * cc - ac[:, 0] * bb) / cross
    return np.stack([a[:, 0] + x, a[:, 1] + y, np.hypot(x, y)], axis=1)


def _distances(points: Points, circles: NDArray[np.float64]) -> NDArray[np.float64]:
    dx = points[None, :, 0] - circles[:, None, 0]
    dy = points[None, :, 1] - circles[:, None, 1]
    return np.abs(np.hypot(dx, dy) - circles[:, None, 2])


def _least_squares(points: Points) -> NDArray[np.float64]:
    middle = points.mean(axis=0)
    x, y = (points - middle).T
    design = np.stack([x, y, np.ones_like(x)], axis=1)
    (a, b, c), *_ = np.linalg.lstsq(design, x**2 + y**2, rcond=None)
    radius = np.sqrt(max(c + (a / 2) ** 2 + (b / 2) ** 2, 0.0))
    return np.array([middle[0] + a / 2, middle[1] + b / 2, radius])
