"""The circle that most points of an edge lie on, however many do not."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_TRIALS = 96
_VOTERS = 128
_REFINEMENTS = 4
_CHANCE = np.random.default_rng(1981).random((_TRIALS, 3))
"""Drawn once: the same points always give the same circle."""

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

    Triples of points propose circles (RANSAC, Fischler and Bolles 1981, with the same draws for all), least squares
    over the points on the best one settles it (Kasa 1976).
    """
    if len(points) < 12:
        return None
    proposals = _through(_triples(points))
    sound = np.isfinite(proposals).all(axis=1) & (proposals[:, 2] >= least) & (proposals[:, 2] <= most)
    proposals = proposals[sound]
    if not len(proposals):
        return None
    votes = _near(points[:: 1 + len(points) // _VOTERS], proposals, tolerance).sum(axis=1)
    best = proposals[int(votes.argmax())]
    near = _near(points, best[None], tolerance)[0]
    for _ in range(_REFINEMENTS):
        if near.sum() < 12:
            return None
        before, best = near, _least_squares(points[near])
        near = _near(points, best[None], tolerance)[0]
        if np.array_equal(near, before):
            break
    if not np.isfinite(best).all() or not least <= best[2] <= most:
        return None
    return Circle(float(best[0]), float(best[1]), float(best[2]), float(near.mean()))


def _triples(points: Points) -> NDArray[np.float64]:
    return points[(_CHANCE * len(points)).astype(np.intp)]


def _through(triples: NDArray[np.float64]) -> NDArray[np.float64]:
    a, b, c = triples[:, 0], triples[:, 1], triples[:, 2]
    ab, ac = b - a, c - a
    cross = 2 * (ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0])
    bb, cc = (ab**2).sum(axis=1), (ac**2).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        x = (ac[:, 1] * bb - ab[:, 1] * cc) / cross
        y = (ab[:, 0] * cc - ac[:, 0] * bb) / cross
    return np.stack([a[:, 0] + x, a[:, 1] + y, np.hypot(x, y)], axis=1)


def _near(points: Points, circles: NDArray[np.float64], tolerance: float) -> NDArray[np.bool_]:
    """(circles, points): which lie on which. Squares are compared: a root for each pair would cost more than all."""
    dx = points[None, :, 0] - circles[:, None, 0]
    dy = points[None, :, 1] - circles[:, None, 1]
    squared, radius = dx * dx + dy * dy, circles[:, None, 2]
    inner, outer = np.maximum(radius - tolerance, 0.0), radius + tolerance
    near: NDArray[np.bool_] = (squared > inner * inner) & (squared < outer * outer)
    return near


def _least_squares(points: Points) -> NDArray[np.float64]:
    """By the normal equations of the points around their middle, where they fall into two and one."""
    middle = points.mean(axis=0)
    x, y = (points - middle).T
    squares = x * x + y * y
    xx, xy, yy, xs, ys = (float(value) for value in (x @ x, x @ y, y @ y, x @ squares, y @ squares))
    determinant = xx * yy - xy * xy
    if determinant <= 0:  # all on one line
        return np.full(3, np.nan)
    a, b = (xs * yy - ys * xy) / (2 * determinant), (ys * xx - xs * xy) / (2 * determinant)
    return np.array([middle[0] + a, middle[1] + b, math.sqrt(float(squares.mean()) + a * a + b * b)])
