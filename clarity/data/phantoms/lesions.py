"""Lesions: where they find room, and their shapes. Radii in field radii, a little bigger than life."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from clarity.data.phantoms.anatomy import Anatomy, View, quadrant
from clarity.data.phantoms.burden import Burden
from clarity.data.phantoms.canvas import Canvas, blob
from clarity.data.phantoms.exact import PI, Dice, Floats, cos, sin
from clarity.data.phantoms.grading import (
    BLOT,
    COTTON_WOOL,
    DOT,
    EXUDATE,
    IRMA,
    KINDS,
    MICROANEURYSM,
    NEOVESSELS,
    PRERETINAL,
    Counts,
)

# kind: (smallest, largest) radius
_RADII = {
    MICROANEURYSM: (0.0085, 0.0125),
    DOT: (0.013, 0.019),
    BLOT: (0.021, 0.034),
    EXUDATE: (0.006, 0.018),
    COTTON_WOOL: (0.035, 0.06),
    IRMA: (0.08, 0.12),
    NEOVESSELS: (0.13, 0.2),
    PRERETINAL: (0.13, 0.24),
}
# Large things first, so that small ones find room between them.
_ORDER = (PRERETINAL, NEOVESSELS, IRMA, COTTON_WOOL, BLOT, DOT, EXUDATE, MICROANEURYSM)


@dataclass(slots=True)
class Placed:
    """What is taken: circles of the eye's plane; and the count of lesions by kind and quadrant."""

    x: list[float] = field(default_factory=list)
    y: list[float] = field(default_factory=list)
    radius: list[float] = field(default_factory=list)
    counts: dict[str, list[int]] = field(default_factory=dict)

    def note(self, kind: str, region: int, number: int = 1) -> None:
        self.counts.setdefault(kind, [0, 0, 0, 0])[region] += number

    def inventory(self) -> Burden:
        return {kind: _tuple(self.counts[kind]) for kind in KINDS if kind in self.counts}

    def free(self, x: float, y: float, radius: float) -> bool:
        if not self.x:
            return True
        dx, dy = np.array(self.x) - x, np.array(self.y) - y
        reach = np.array(self.radius) + radius
        return not bool((dx * dx + dy * dy < reach * reach).any())


def place(dice: Dice, canvas: Canvas, where: Anatomy, wanted: Burden) -> Placed:
    """Draw the wanted lesions where there is room in the visible field; counts only what was drawn."""
    placed = Placed([where.disc[0], where.fovea[0]], [where.disc[1], where.fovea[1]], [where.disc_radius * 1.15, 0.05])
    for kind in _ORDER:
        for region, number in enumerate(wanted.get(kind, (0, 0, 0, 0))):
            centre: tuple[float, float] | None = None
            for _ in range(number):
                radius = dice.uniform(*_RADII[kind])
                near = centre if kind == EXUDATE and not dice.chance(0.12) else None
                spot = _room(dice, canvas.view, where, placed, region, radius, near)
                if spot is None:
                    continue
                centre = centre if near else spot
                _SHAPES[kind](dice, canvas, *spot, radius)
                gap = 0.006 if kind != EXUDATE else 0.001
                placed.x.append(spot[0])
                placed.y.append(spot[1])
                placed.radius.append(radius * 1.25 + gap)
                placed.note(kind, region)
    return placed


def _room(
    dice: Dice,
    view: View,
    where: Anatomy,
    placed: Placed,
    region: int,
    radius: float,
    near: tuple[float, float] | None,
) -> tuple[float, float] | None:
    """A free place for a circle in a quadrant, within 0.14 of ``near`` if given; None after 60 tries."""
    tries = dice.array(-1.0, 1.0, 60, 2)
    if near is not None:
        tries = np.array(near) + 0.14 * tries
    sides = quadrant(where, tries[:, 0], tries[:, 1]) == region
    fits = sides & view.sees(tries[:, 0], tries[:, 1], 0.03 + 1.1 * radius)
    for x, y in tries[fits]:
        if placed.free(float(x), float(y), radius * 1.25):
            return float(x), float(y)
    return None


def _red(kind: str, value: tuple[float, float], rough: float) -> Callable[[Dice, Canvas, float, float, float], None]:
    def draw(dice: Dice, canvas: Canvas, x: float, y: float, radius: float) -> None:
        stretch = 1.0 + rough * dice.uniform(0.0, 1.2)
        outline = blob(dice, x, y, radius, rough=rough, stretch=stretch)
        canvas.polygon("blood", *outline, dice.uniform(*value), kind)

    return draw


def _exudate(dice: Dice, canvas: Canvas, x: float, y: float, radius: float) -> None:
    canvas.polygon("exudate", *blob(dice, x, y, radius, rough=0.3, stretch=1.2), dice.uniform(175, 250), EXUDATE)


def _cotton(dice: Dice, canvas: Canvas, x: float, y: float, radius: float) -> None:
    outline = blob(dice, x, y, radius, rough=0.3, stretch=dice.uniform(1.0, 1.5))
    canvas.polygon("cotton", *outline, dice.uniform(190, 250), COTTON_WOOL)


def _irma(dice: Dice, canvas: Canvas, x: float, y: float, radius: float) -> None:
    """A knot of short, thin, abruptly bending vessels."""
    t = np.linspace(0.0, 1.0, 28)
    for _ in range(dice.integer(6, 9)):
        heading = dice.uniform(0.0, 2 * PI) + 1.5 * sin(dice.uniform(9, 16) * t + dice.uniform(0, 6))
        start = dice.array(-0.45, 0.45, 2) * radius
        _line(canvas, x + start[0], y + start[1], heading, 1.5 * radius, dice.uniform(0.008, 0.012), 225, IRMA)


def _neovessels(dice: Dice, canvas: Canvas, x: float, y: float, radius: float) -> None:
    """A frond: spokes from one point that bend into loops, finer and denser than any healthy vessel, in a red haze."""
    canvas.polygon("leak", *blob(dice, x, y, 0.85 * radius, rough=0.2), dice.uniform(60, 110))
    t = np.linspace(0.0, 1.0, 40)
    spokes = dice.integer(15, 21)
    for k in range(spokes):
        base = 2 * PI * (k + dice.uniform(0.0, 0.9)) / spokes
        turn = dice.uniform(2.0, 5.5) * dice.choice((-1.0, 1.0))
        heading = base + 0.9 * sin(dice.uniform(9, 17) * t + dice.uniform(0, 6)) + turn * t * t * t
        start = dice.array(-0.15, 0.15, 2) * radius
        length = radius * dice.uniform(0.8, 1.5)
        _line(canvas, x + start[0], y + start[1], heading, length, dice.uniform(0.007, 0.011), 240, NEOVESSELS)


def _line(
    canvas: Canvas, x: float, y: float, heading: Floats, length: float, width: float, value: float, kind: str
) -> None:
    step = length / (len(heading) - 1)
    widths = np.full(len(heading), width)
    canvas.stroke("blood", x + np.cumsum(cos(heading)) * step, y + np.cumsum(sin(heading)) * step, widths, value, kind)


def _preretinal(dice: Dice, canvas: Canvas, x: float, y: float, radius: float) -> None:
    """A boat: blood that has settled under a level surface."""
    t = np.linspace(0.0, 2 * PI, 48, endpoint=False)
    rough = dice.array(0.0, 0.07, 3)
    reach = radius * (1.0 + rough[0] * sin(3 * t) + rough[1] * sin(5 * t + 1.0) + rough[2] * sin(7 * t + 2.0))
    px, py = 1.1 * cos(t) * reach, sin(t) * reach * dice.uniform(0.8, 1.1)
    level = dice.uniform(-0.6, -0.2) * radius  # y is downwards: nothing stands above the level
    slope = dice.uniform(-0.12, 0.12)
    py = np.maximum(py, level + slope * px + 0.02 * radius * sin(px * (9.0 / radius)))
    canvas.polygon("pool", x + px, y + py - 0.3 * radius, dice.uniform(215, 250), PRERETINAL)


_SHAPES: dict[str, Callable[[Dice, Canvas, float, float, float], None]] = {
    MICROANEURYSM: _red(MICROANEURYSM, (185, 235), 0.1),
    DOT: _red(DOT, (195, 240), 0.2),
    BLOT: _red(BLOT, (195, 250), 0.28),
    EXUDATE: _exudate,
    COTTON_WOOL: _cotton,
    IRMA: _irma,
    NEOVESSELS: _neovessels,
    PRERETINAL: _preretinal,
}


def _tuple(values: list[int]) -> Counts:
    return (values[0], values[1], values[2], values[3])
