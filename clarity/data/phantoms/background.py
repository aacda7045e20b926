"""The healthy fundus without its vessels: pigment, choroid, macula, optic disc, illumination."""

import numpy as np
from numpy.typing import NDArray

from clarity.data.phantoms.anatomy import Anatomy, View
from clarity.data.phantoms.exact import Dice, Plane, bands, noise, smooth
from clarity.data.phantoms.looks import Look

Planes = NDArray[np.float32]
"""(3, H, W) float32: red, green, blue in 0..255, not yet clipped."""


def paint(dice: Dice, view: View, where: Anatomy, look: Look) -> Planes:
    """The fundus as a camera with even light would see it."""
    x, y = view.plane()
    r2 = x * x + y * y
    layers = _texture(dice, view, look, r2)
    planes = np.empty((3, view.height, view.width), np.float32)
    for rows in bands(view.height):
        for channel, base in enumerate(look.colour):
            factor = np.ones_like(r2[rows])
            for plane, gains in layers:
                factor += np.float32(gains[channel]) * plane[rows]
            np.multiply(np.float32(base), factor, out=planes[channel, rows])
    _nerve_fibres(dice, planes, view, where, look)
    _macula(dice, planes, where, x, y)
    for _ in range(dice.choice((0, 0, 0, 1, 1, 2))):
        _pigment(dice, planes, x, y)
    _disc(dice, planes, where, look, x, y)
    return planes


def light(dice: Dice, view: View, look: Look) -> Plane:
    """(H, W): full near the centre, less to the periphery and to one side."""
    x, y = view.plane()
    r2 = x * x + y * y
    tilt = np.float32(dice.uniform(-0.14, 0.14)), np.float32(dice.uniform(-0.14, 0.14))
    uneven = noise(dice, view.height, view.width, 0.6 * view.radius)
    shade = 1.06 - np.float32(look.vignette) * r2 * (0.5 + 0.5 * r2) + tilt[0] * x + tilt[1] * y
    result: Plane = np.maximum(shade + np.float32(0.08) * uneven, np.float32(0.1))
    return result


def _texture(dice: Dice, view: View, look: Look, r2: Plane) -> list[tuple[Plane, tuple[float, float, float]]]:
    """Planes that vary the colour, each with its weight in red, green and blue.

    Broad changes of hue, mottling of the pigment epithelium, and the choroid's vessels as pale ridges.
    """
    shape = (view.height, view.width)
    broad, patchy = (noise(dice, *shape, cell * view.radius) for cell in (0.42, 0.2))
    mottled, fine = (noise(dice, *shape, cell * view.radius) for cell in (0.075, 0.02))
    grain = look.mottling
    wide, thin = (np.abs(noise(dice, *shape, cell * view.radius)) for cell in (0.07, 0.05))
    net = smooth(1.0 - np.minimum(wide, np.float32(1.2) * thin) / np.float32(0.5)) - np.float32(0.5)
    net *= smooth(np.float32(0.4) + np.float32(0.8) * patchy) * (np.float32(0.3) + np.float32(0.7) * r2)
    choroid = look.tessellation
    return [
        (broad, (0.10 * grain, 0.20 * grain, 0.16 * grain)),
        (patchy, (0.06 * grain, 0.05 * grain, 0.02 * grain)),
        (mottled, (0.03 * grain, 0.055 * grain, 0.05 * grain)),
        (fine, (0.018 * grain, 0.032 * grain, 0.03 * grain)),
        (net, (0.16 * choroid, 0.26 * choroid, 0.16 * choroid)),
        (r2, (-0.10, 0.02, 0.02)),
    ]


def _nerve_fibres(dice: Dice, planes: Planes, view: View, where: Anatomy, look: Look) -> None:
    """The silvery reflex of the nerve fibre layer above and below the disc; strong in the young."""
    x, y = view.plane()
    dx = (x - np.float32(where.disc[0] - 0.08)) / np.float32(0.34)
    dy = (y - np.float32(where.disc[1])) / np.float32(0.4)
    d2 = dx * dx + dy * dy
    fall = 1.0 + d2
    strength = np.float32(1.3 * look.reflex) * d2 / (fall * fall * fall)
    haze = strength * (1.0 + np.float32(0.5) * noise(dice, view.height, view.width, 0.03 * view.radius))
    for channel, gain in enumerate((60.0, 95.0, 80.0)):
        planes[channel] += np.float32(gain) * haze


def _macula(dice: Dice, planes: Planes, where: Anatomy, x: Plane, y: Plane) -> None:
    dx, dy = x - np.float32(where.fovea[0]), y - np.float32(where.fovea[1])
    d2 = dx * dx + dy * dy
    wide, depth = dice.uniform(0.1, 0.17), dice.uniform(0.6, 1.1)
    for reach, share in ((wide, 0.8), (2.4 * wide, 0.35)):
        fall = 1.0 + d2 / np.float32(reach * reach)
        dark = np.float32(depth * share) / (fall * fall)
        for channel, loss in enumerate((0.36, 0.52, 0.46)):
            planes[channel] *= 1.0 - np.float32(loss) * dark
    if dice.chance(0.4):  # the foveal reflex: a healthy bright point that is no exudate
        patch, dx, dy = _near(x, y, *where.fovea, 0.09)
        fall = 1.0 + (dx * dx + dy * dy) / np.float32(0.008 * 0.008)
        planes[patch] += np.float32(dice.uniform(20, 60)) / (fall * fall)


def _pigment(dice: Dice, planes: Planes, x: Plane, y: Plane) -> None:
    """A naevus or a pigment clump: dark, soft, greyish, and no haemorrhage."""
    cx, cy, size = dice.uniform(-0.8, 0.8), dice.uniform(-0.8, 0.8), dice.uniform(0.02, 0.07)
    patch, dx, dy = _near(x, y, cx, cy, 2.0 * size)
    distance = np.sqrt(dx * dx + dy * dy) / np.float32(size)
    dark = np.float32(dice.uniform(0.12, 0.3)) * smooth(np.float32(1.5) - distance)
    for channel, loss in enumerate((1.0, 0.8, 0.5)):
        planes[channel][patch[1:]] *= 1.0 - np.float32(loss) * dark


def _disc(dice: Dice, planes: Planes, where: Anatomy, look: Look, x: Plane, y: Plane) -> None:
    """The disc with a pinker nasal rim, the cup towards temporal, and sometimes a pale crescent beside it."""
    patch, dx, dy = _near(x, y, *where.disc, 1.6 * where.disc_radius)
    dx, dy = dx / np.float32(where.disc_radius), dy / np.float32(where.disc_radius * where.disc_height)
    distance = np.sqrt(dx * dx + dy * dy)
    crescent = dice.uniform(0.0, 0.6) * dice.uniform(0.0, 1.0)
    beside = np.sqrt((dx + np.float32(0.18)) * (dx + np.float32(0.18)) + dy * dy)
    around = np.float32(crescent) * smooth((np.float32(1.16) - beside) / np.float32(0.12))
    soft = np.float32(dice.uniform(0.1, 0.24))
    inside = np.float32(dice.uniform(0.85, 0.97)) * smooth((np.float32(1.05) - distance) / soft)
    hollow = np.sqrt((dx + np.float32(0.1)) * (dx + np.float32(0.1)) + dy * dy) / np.float32(where.cup)
    cup = smooth((np.float32(1.3) - hollow) / np.float32(0.9))
    warm = dice.uniform(0.82, 1.05)
    for channel, (rim, lift, pale) in enumerate(((1.2, 60, 34), (1.2, 84, 62), (1.0, 46, 66))):
        base = look.colour[channel]
        colour = np.float32(warm) * (np.float32(rim * base + lift) - np.float32(8) * dx + np.float32(pale) * cup)
        plane = planes[channel][patch[1:]]
        plane += around * (np.float32(1.15 * base + 30) - plane)
        plane += inside * (colour - plane)


def _near(x: Plane, y: Plane, cx: float, cy: float, reach: float) -> tuple[tuple[slice, slice, slice], Plane, Plane]:
    """The rectangle of pixels within ``reach`` of a point, as slices of planes, and the offsets from it there."""
    dx, dy = x - np.float32(cx), y - np.float32(cy)
    columns, rows = np.flatnonzero(np.abs(dx[0]) <= reach), np.flatnonzero(np.abs(dy[:, 0]) <= reach)
    if not (len(columns) and len(rows)):
        return (slice(None), slice(0), slice(0)), dx[:, :0], dy[:0]
    across, down = slice(columns[0], columns[-1] + 1), slice(rows[0], rows[-1] + 1)
    return (slice(None), down, across), dx[:, across], dy[down]
