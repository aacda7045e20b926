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
"""(2, N): x and y, each in one piece."""


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
    count = points.shape[1]
    if count < 12:
        return None
    proposals = _through(*points[:, (_CHANCE * count).astype(np.intp)])
    sound = np.isfinite(proposals).all(axis=0) & (proposals[2] >= least) & (proposals[2] <= most)
    proposals = proposals.compress(sound, axis=1)
    if not proposals.size:
        return None
    votes = _near(points[:, :: 1 + count // _VOTERS], proposals[:, :, None], tolerance).sum(axis=1)
    best = proposals[:, int(votes.argmax())]
    near = _near(points, best, tolerance)
    for _ in range(_REFINEMENTS):
        if np.count_nonzero(near) < 12:
            return None
        before, best = near, _least_squares(points.compress(near, axis=1))
        near = _near(points, best, tolerance)
        if np.array_equal(near, before):
            break
    if not np.isfinite(best).all() or not least <= best[2] <= most:
        return None
    return Circle(float(best[0]), float(best[1]), float(best[2]), np.count_nonzero(near) / count)


def _through(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """(circles, 3) each, three points a circle, to (3, circles): x, y, radius."""
    (ax, bx, cx), (ay, by, cy) = x.T, y.T
    bx, by, cx, cy = bx - ax, by - ay, cx - ax, cy - ay
    cross = 2 * (bx * cy - by * cx)
    bb, cc = bx * bx + by * by, cx * cx + cy * cy
    with np.errstate(divide="ignore", invalid="ignore"):
        x = (cy * bb - by * cc) / cross
        y = (bx * cc - cx * bb) / cross
    return np.stack([ax + x, ay + y, np.hypot(x, y)])


def _near(points: Points, circles: NDArray[np.float64], tolerance: float) -> NDArray[np.bool_]:
    """(N,) for one circle (3,), (circles, N) for (3, circles, 1): which points lie on which.

    Squares are compared: a root for each pair would cost more than all.
    """
    dx, dy, radius = points[0] - circles[0], points[1] - circles[1], circles[2]
    squared = dx * dx + dy * dy
    inner, outer = np.maximum(radius - tolerance, 0.0), radius + tolerance
    near: NDArray[np.bool_] = (squared > inner * inner) & (squared < outer * outer)
    return near


def _least_squares(points: Points) -> NDArray[np.float64]:
    """By the normal equations of the points around their middle, where they fall into two and one."""
    middle = points.mean(axis=1)
    x, y = points - middle[:, None]
    squares = x * x + y * y
    xx, xy, yy, xs, ys = (float(value) for value in (x @ x, x @ y, y @ y, x @ squares, y @ squares))
    determinant = xx * yy - xy * xy
    if determinant <= 0:  # all on one line
        return np.full(3, np.nan)
    a, b = (xs * yy - ys * xy) / (2 * determinant), (ys * xx - xs * xy) / (2 * determinant)
    return np.array([middle[0] + a, middle[1] + b, math.sqrt(float(squares.mean()) + a * a + b * b)])
