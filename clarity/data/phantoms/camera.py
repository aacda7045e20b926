"""What the camera does to the fundus: defects that decide the quality, and the way from planes to pixels."""

from dataclasses import dataclass

import cv2
import numpy as np

from clarity.data.phantoms.anatomy import View
from clarity.data.phantoms.background import Planes
from clarity.data.phantoms.exact import PI, Dice, Plane, cos, noise, sin, smooth
from clarity.data.phantoms.looks import Look
from clarity.records import Image

QUALITIES = ("good", "usable", "reject")
DEFECTS = ("blur", "glare", "under-exposure", "off-centre")
# (usable, reject) range of each defect's strength
_STRENGTH = {
    "blur": ((0.010, 0.016), (0.045, 0.08)),  # deviation, field radii
    "glare": ((0.25, 0.45), (0.85, 1.3)),  # share of white at its brightest
    "under-exposure": ((0.45, 0.62), (0.06, 0.13)),  # share of the light
    "off-centre": ((0.12, 0.22), (0.55, 0.8)),  # shift of the field, field radii
}


@dataclass(frozen=True, slots=True)
class Capture:
    """The accidents of one exposure: names and strengths of its defects, and where the field lies."""

    strength: dict[str, float]
    shift: tuple[float, float]

    @property
    def defects(self) -> tuple[str, ...]:
        return tuple(name for name in DEFECTS if name in self.strength)


def capture(dice: Dice, quality: str) -> Capture:
    """No defect (good), one that still lets lesions be seen (usable), or one or two that do not (reject)."""
    number = {"good": 0, "usable": 1, "reject": dice.choice((1, 1, 2))}[quality]
    strength = {}
    names = dice.shuffled(DEFECTS)
    dim = names.index("under-exposure") < names.index("glare")  # one light at a time: stray or missing
    for name in [name for name in names if name != ("glare" if dim else "under-exposure")][:number]:
        strength[name] = dice.uniform(*_STRENGTH[name][quality == "reject"])
    turn, far = dice.uniform(0.0, 2 * PI), strength.get("off-centre", 0.0)
    return Capture(strength, (far * float(cos(turn)), far * float(sin(turn))))


def expose(dice: Dice, planes: Planes, shade: Plane, view: View, look: Look, shot: Capture) -> Image:
    """(H, W, 3) uint8: light, glare, rim, lens, sensor."""
    x, y = view.plane()
    r2 = x * x + y * y
    shade = shade * np.float32(shot.strength.get("under-exposure", 1.0))
    haze = _haze(dice, x, y, view, shot.strength.get("glare", 0.0))
    edge = smooth((1.0 - np.sqrt(r2)) * np.float32(view.radius / 3.0) + np.float32(0.5))
    if look.notch:
        edge = np.maximum(edge, _notch(dice, x, y, look.notch))
    rim = smooth((r2 - 0.8) / 0.2)
    image = np.empty((view.height, view.width, 3), np.uint8)
    for channel, white in enumerate((255.0, 244.0, 228.0)):
        plane = planes[channel] * shade + np.float32(look.rim[channel]) * rim
        if haze is not None:
            plane += haze * (np.float32(white) - plane)
        np.clip(plane, 0.0, 255.0, out=plane)
        image[:, :, channel] = plane + np.float32(0.5)  # to uint8: cut off, and so rounded
    sigma = view.radius * max(0.0016 + 0.0022 * look.softness, shot.strength.get("blur", 0.0))
    image = cv2.GaussianBlur(image, (0, 0), sigma)  # on uint8 integer arithmetic, bit-exact
    stop = np.floor(edge * np.float32(256.0) + np.float32(0.5)).astype(np.uint16)  # sharp, however the eye is focused
    image = ((image * stop[:, :, None] + np.uint16(128)) >> 8).astype(np.uint8)
    return _sensor(dice, image, look)


def _haze(dice: Dice, x: Plane, y: Plane, view: View, strength: float) -> Plane | None:
    """Stray light: a crescent from one side, and a thin veil everywhere."""
    if not strength:
        return None
    turn = dice.uniform(0.0, 2 * PI)
    along = x * np.float32(cos(turn)) + y * np.float32(sin(turn))
    uneven = 0.12 * noise(dice, view.height, view.width, 0.5 * view.radius)
    low = np.float32(0.5 - 1.1 * strength)
    crescent = smooth((along + uneven - low) / np.float32(1.0 + 0.8 * strength))
    result: Plane = np.clip(np.float32(strength) * crescent + np.float32(0.25 * strength * strength), 0.0, 1.0)
    return result


def _notch(dice: Dice, x: Plane, y: Plane, size: float) -> Plane:
    """The small tab by which a camera marks the picture's upright, at the upper right or lower right rim."""
    turn = dice.choice((-0.75, -0.6, 0.62)) * PI / 2
    dx, dy = x - np.float32(cos(turn)), y - np.float32(sin(turn))
    return smooth((np.float32(size) - np.sqrt(dx * dx + dy * dy)) * 90.0)


def _sensor(dice: Dice, image: Image, look: Look) -> Image:
    """Noise of each pixel and colour, up to some four levels; a little even in the black."""
    grain = ((dice.bytes(*image.shape).astype(np.int16) - 128) * int(look.noise * 16)) >> 9
    grain[image <= 6] >>= 2
    result: Image = np.clip(image + grain, 0, 255).astype(np.uint8)
    return result
