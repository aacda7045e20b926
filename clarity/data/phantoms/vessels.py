"""The vascular tree: arteries and veins leave the disc, arch around the macula, branch and taper."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clarity.data.phantoms.anatomy import Anatomy
from clarity.data.phantoms.exact import PI, Dice, Floats, cos, sin
from clarity.data.phantoms.looks import Look

_POINTS = 40
_DEGREE = PI / 180.0
# (first heading, last heading, length, width, vein?) of a trunk; headings in degrees from nasal (0) over up (90) to
# temporal (180), lengths and widths in field radii. Drawn once upwards and once downwards.
_TRUNKS = (
    (92.0, 186.0, 1.75, 0.036, True),
    (74.0, 181.0, 1.60, 0.027, False),
    (58.0, 28.0, 0.85, 0.026, True),
    (40.0, 14.0, 0.85, 0.020, False),
    (128.0, 172.0, 0.62, 0.011, True),
    (148.0, 190.0, 0.50, 0.010, False),
)


@dataclass(frozen=True, slots=True)
class Vessels:
    """K centre lines of N points each in the eye's plane: ``x``, ``y``, ``heading``, ``width`` (K, N), ``vein`` (K,).

    Width 0 ends a vessel early. ``upper`` (K,) says in which half it runs; the trunks come first.
    """

    x: Floats
    y: Floats
    heading: Floats
    width: Floats
    length: Floats
    vein: NDArray[np.bool_]
    upper: NDArray[np.bool_]
    trunks: int


def grow(dice: Dice, where: Anatomy, look: Look) -> Vessels:
    """The whole tree of one eye."""
    trunks = _trunks(dice, where, look)
    branches = _branches(dice, trunks, where, look, slots=5, shares=(0.28, 0.62))
    twigs = _branches(dice, branches, where, look, slots=2, shares=(0.4, 0.9))
    parts = (trunks, branches, twigs)
    return Vessels(
        x=np.concatenate([part.x for part in parts]),
        y=np.concatenate([part.y for part in parts]),
        heading=np.concatenate([part.heading for part in parts]),
        width=np.concatenate([part.width for part in parts]),
        length=np.concatenate([part.length for part in parts]),
        vein=np.concatenate([part.vein for part in parts]),
        upper=np.concatenate([part.upper for part in parts]),
        trunks=len(trunks.x),
    )


def _trunks(dice: Dice, where: Anatomy, look: Look) -> Vessels:
    table = np.array([row[:4] for row in _TRUNKS] * 2)
    vein = np.array([bool(row[4]) for row in _TRUNKS] * 2)
    count = len(table)
    upper = np.arange(count) < count // 2
    first = (table[:, 0] + dice.array(-10, 10, count)) * _DEGREE
    last = (table[:, 1] + dice.array(-9, 9, count)) * _DEGREE
    length = table[:, 2] * dice.array(0.92, 1.08, count)
    width = table[:, 3] * look.vessel_width * dice.array(0.9, 1.1, count)
    x = where.disc[0] + dice.array(-0.02, 0.02, count)
    y = where.disc[1] + dice.array(-0.03, 0.03, count)
    return _run(dice, where, look, (x, y), (first, last), length, (width, 0.45), vein, upper)


def _branches(
    dice: Dice, parents: Vessels, where: Anatomy, look: Look, *, slots: int, shares: tuple[float, float]
) -> Vessels:
    count = len(parents.x) * slots
    parent = np.repeat(np.arange(len(parents.x)), slots)
    slot = np.tile(np.arange(slots), len(parents.x))
    t = 0.14 + 0.78 * (slot + dice.array(0.0, 0.9, count)) / slots
    at = np.floor(t * (_POINTS - 1)).astype(np.intp)
    side = np.where((slot + parent) % 2 == 0, 1.0, -1.0)
    first = parents.heading[parent, at] + side * dice.array(0.4, 1.1, count)
    last = first - side * dice.array(0.1, 1.0, count)
    length = parents.length[parent] * dice.array(*shares, count) * (1.15 - 0.5 * t)
    width = parents.width[parent, at] * dice.array(0.45, 0.72, count)
    start = (parents.x[parent, at], parents.y[parent, at])
    turns = (first, last)
    return _run(dice, where, look, start, turns, length, (width, 0.4), parents.vein[parent], parents.upper[parent])


def _run(
    dice: Dice,
    where: Anatomy,
    look: Look,
    start: tuple[Floats, Floats],
    turns: tuple[Floats, Floats],
    length: Floats,
    widths: tuple[Floats, float],
    vein: NDArray[np.bool_],
    upper: NDArray[np.bool_],
) -> Vessels:
    count = len(length)
    t = np.linspace(0.0, 1.0, _POINTS)[None, :]
    ramp = t * (1.6 - 0.6 * t)
    waves = dice.array(4.0, 9.0, count, 1) * length[:, None], dice.array(14.0, 24.0, count, 1) * length[:, None]
    phases = dice.array(0.0, 2 * PI, 2, count, 1)
    wobble = 0.24 * sin(waves[0] * t + phases[0]) + 0.2 * sin(waves[1] * t + phases[1])
    heading = turns[0][:, None] + (turns[1] - turns[0])[:, None] * ramp + look.tortuosity * wobble
    step = (length / (_POINTS - 1))[:, None]
    up = np.where(upper, -1.0, 1.0)[:, None]
    x = start[0][:, None] + np.cumsum(cos(heading) * step, axis=1) - cos(heading[:, :1]) * step
    y = start[1][:, None] + np.cumsum(sin(heading) * step * up, axis=1) - sin(heading[:, :1]) * step * up
    width = widths[0][:, None] * (1.0 - (1.0 - widths[1]) * t)
    return Vessels(x, y, heading, np.where(_ended(where, x, y, up), 0.0, width), length, vein, upper, count)


def _ended(where: Anatomy, x: Floats, y: Floats, up: Floats) -> NDArray[np.bool_]:
    """From where a vessel reaches the avascular zone of the fovea, or crosses the horizontal raphe temporally."""
    dx, dy = x - where.fovea[0], y - where.fovea[1]
    crossed = (up * dy < -0.015) & (x < where.disc[0] - 0.18)
    stop: NDArray[np.bool_] = np.logical_or.accumulate((dx * dx + dy * dy < 0.0144) | crossed, axis=1)
    return stop
