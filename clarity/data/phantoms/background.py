"""The healthy fundus without its vessels: pigment, choroid, macula, optic disc, illumination."""

import numpy as np
from numpy.typing import NDArray

from clarity.data.phantoms.anatomy import Anatomy, View
from clarity.data.phantoms.exact import Dice, Plane, noise, smooth
from clarity.data.phantoms.looks import Look

Planes = NDArray[np.float32]
"""(3, H, W) float32: red, green, blue in 0..255, not yet clipped."""


def paint(dice: Dice, view: View, where: Anatomy, look: Look) -> Planes:
    """The fundus as a camera with even light would see it."""
    x, y = view.plane()
    texture, ridges = _texture(dice, view, look, x * x + y * y)
    planes = np.empty((3, view.height, view.width), np.float32)
    for channel, (base, grain, lift) in enumerate(zip(look.colour, (0.55, 1.0, 1.1), (0.7, 1.0, 0.8), strict=True)):
        planes[channel] = np.float32(base) * (1.0 + np.float32(grain) * texture + np.float32(lift) * ridges)
    _nerve_fibres(dice, planes, view, where, look, x, y)
    _macula(dice, planes, where, x, y)
    _pigment(dice, planes, view, x, y)
    _disc(dice, planes, where, look, x, y)
    return planes


def light(dice: Dice, view: View, look: Look) -> Plane:
    """(H, W): full near the centre, less to the periphery and to one side."""
    x, y = view.plane()
    r2 = x * x + y * y
    tilt = dice.uniform(-0.12, 0.12), dice.uniform(-0.12, 0.12)
    uneven = noise(dice, view.height, view.width, 0.6 * view.radius)
    shade = 1.0 - look.vignette * r2 * (0.6 + 0.4 * r2) + tilt[0] * x + tilt[1] * y + 0.06 * uneven
    result: Plane = np.maximum(shade, 0.1).astype(np.float32)
    return result


def _texture(dice: Dice, view: View, look: Look, r2: Plane) -> tuple[Plane, Plane]:
    """Mottling of the pigment epithelium, and the choroid's vessels as bright ridges between pigment."""
    shape = (view.height, view.width)
    texture = 0.10 * look.mottling * noise(dice, *shape, 0.28 * view.radius)
    texture += 0.05 * look.mottling * noise(dice, *shape, 0.09 * view.radius)
    texture += 0.03 * look.mottling * noise(dice, *shape, 0.022 * view.radius)
    winding = np.abs(noise(dice, *shape, 0.085 * view.radius))
    ridges = np.float32(look.tessellation) * (0.25 * smooth(1.0 - winding / 0.35) - 0.07) * (0.35 + 0.65 * r2)
    return texture, ridges


def _nerve_fibres(dice: Dice, planes: Planes, view: View, where: Anatomy, look: Look, x: Plane, y: Plane) -> None:
    """The silvery reflex of the nerve fibre layer above and below the disc; strong in the young."""
    dx, dy = (x - np.float32(where.disc[0] - 0.08)) / 0.34, (y - np.float32(where.disc[1])) / 0.42
    d2 = dx * dx + dy * dy
    strength = look.reflex * d2 / ((1.0 + d2) * (1.0 + d2) * (1.0 + d2))
    streaks = 1.0 + 0.5 * noise(dice, view.height, view.width, 0.03 * view.radius)
    haze = (strength * streaks).astype(np.float32)
    for channel, gain in enumerate((60.0, 95.0, 80.0)):
        planes[channel] += np.float32(gain) * haze


def _macula(dice: Dice, planes: Planes, where: Anatomy, x: Plane, y: Plane) -> None:
    dx, dy = x - np.float32(where.fovea[0]), y - np.float32(where.fovea[1])
    d2 = dx * dx + dy * dy
    wide, depth = dice.uniform(0.1, 0.17), dice.uniform(0.5, 1.0)
    for reach, share in ((wide, 0.7), (2.2 * wide, 0.5)):
        fall = 1.0 + d2 / np.float32(reach * reach)
        dark = np.float32(depth * share) / (fall * fall)
        for channel, loss in enumerate((0.28, 0.46, 0.40)):
            planes[channel] *= 1.0 - np.float32(loss) * dark
    if dice.chance(0.4):  # the foveal reflex: a healthy bright point that is no exudate
        fall = 1.0 + d2 / np.float32(0.008 * 0.008)
        glint = np.float32(dice.uniform(20, 60)) / (fall * fall)
        planes += glint[None]


def _pigment(dice: Dice, planes: Planes, view: View, x: Plane, y: Plane) -> None:
    """Now and then a naevus or a pigment clump: dark, soft, greyish, and no haemorrhage."""
    for _ in range(dice.choice((0, 0, 0, 1, 1, 2))):
        cx, cy, size = dice.uniform(-0.8, 0.8), dice.uniform(-0.8, 0.8), dice.uniform(0.02, 0.07)
        dx, dy = (x - np.float32(cx)) / np.float32(size), (y - np.float32(cy)) / np.float32(size)
        dark = np.float32(dice.uniform(0.12, 0.3)) * smooth(1.5 - np.sqrt(dx * dx + dy * dy))
        for channel, loss in enumerate((1.0, 0.8, 0.5)):
            planes[channel] *= 1.0 - np.float32(loss) * dark


def _disc(dice: Dice, planes: Planes, where: Anatomy, look: Look, x: Plane, y: Plane) -> None:
    """The disc with a pinker nasal rim, the cup towards temporal, and sometimes a pale crescent beside it."""
    dx = (x - np.float32(where.disc[0])) / np.float32(where.disc_radius)
    dy = (y - np.float32(where.disc[1])) / np.float32(where.disc_radius * where.disc_height)
    distance = np.sqrt(dx * dx + dy * dy)
    crescent = dice.uniform(0.0, 0.5) * dice.uniform(0.0, 1.0)
    beside = np.sqrt((dx + 0.16) * (dx + 0.16) + dy * dy)
    around = np.float32(crescent) * smooth((1.16 - beside) / 0.12)
    inside = np.float32(dice.uniform(0.82, 0.96)) * smooth((1.05 - distance) / np.float32(dice.uniform(0.12, 0.25)))
    hollow = np.sqrt((dx + 0.1) * (dx + 0.1) + dy * dy) / np.float32(where.cup)
    cup = smooth((1.2 - hollow) / 0.7)
    warm = dice.uniform(0.85, 1.1)
    for channel, (rim, deep, pale) in enumerate(((1.2, 1.0, 24), (1.15, 1.0, 26), (1.0, 0.9, 22))):
        base = look.colour[channel]
        colour = np.float32(warm) * (
            np.float32(rim * base + (62, 78, 42)[channel]) - np.float32(9) * dx + np.float32(pale * 1.6 * deep) * cup
        )
        planes[channel] += around * (np.float32(1.15 * base + 30) - planes[channel])
        planes[channel] += inside * (colour - planes[channel])
