"""Where things are: the eye's own plane, the frame's pixels, the four quadrants.

The eye's plane is measured in radii of the field of view, its origin the field's centre, x to the nasal side and
y downwards: so a left and a right eye differ in the sign of x on the way to pixels and in nothing else.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clarity.data.phantoms.exact import PI, Dice, Floats, Plane
from clarity.data.phantoms.looks import Look
from clarity.records import Eye, Field


@dataclass(frozen=True, slots=True)
class Anatomy:
    """Landmarks in the eye's plane, field radii."""

    fovea: tuple[float, float]
    disc: tuple[float, float]
    disc_radius: float
    disc_height: float
    """Vertical by horizontal diameter."""
    cup: float


@dataclass(frozen=True, slots=True)
class View:
    """The frame and the field of view in it, pixels."""

    height: int
    width: int
    cx: float
    cy: float
    radius: float
    side: float
    """+1 where nasal is to the right (a right eye), -1 for a left eye."""

    def pixels(self, x: Floats | float, y: Floats | float) -> tuple[Floats, Floats]:
        """From the eye's plane to pixels of the frame."""
        column = self.cx + self.side * self.radius * np.asarray(x, dtype=np.float64)
        return column, self.cy + self.radius * np.asarray(y, dtype=np.float64)

    def sees(self, x: Floats, y: Floats, margin: float) -> NDArray[np.bool_]:
        """Where points of the plane are in the field and in the frame, ``margin`` field radii from both borders."""
        column, row = self.pixels(x, y)
        gap, inner = margin * self.radius, 1.0 - margin
        framed = (column >= gap) & (column < self.width - gap) & (row >= gap) & (row < self.height - gap)
        return framed & (x * x + y * y < inner * inner)

    def field(self) -> Field:
        """The field of view as the imaging chain would describe it."""
        x, y = self.plane()
        area = float(np.count_nonzero(x * x + y * y < 1.0)) / (PI * self.radius * self.radius)
        return Field(self.cx, self.cy, self.radius, min(area, 1.0))

    def plane(self) -> tuple[Plane, Plane]:
        """The eye's x (1, W) and y (H, 1) of every pixel centre, float32."""
        columns = (np.arange(self.width, dtype=np.float64) - self.cx) * (self.side / self.radius)
        rows = (np.arange(self.height, dtype=np.float64) - self.cy) / self.radius
        return columns.astype(np.float32)[None, :], rows.astype(np.float32)[:, None]


def anatomy(dice: Dice, look: Look) -> Anatomy:
    """The landmarks of a macula-centred 45 degree field: the disc 15 degrees nasal of the fovea and a little above."""
    fovea = (dice.uniform(-0.16, 0.0), dice.uniform(-0.02, 0.1))
    disc = (fovea[0] + dice.uniform(0.6, 0.7), fovea[1] - dice.uniform(0.02, 0.14))
    return Anatomy(fovea, disc, look.disc_radius, dice.uniform(1.04, 1.2), look.cup * dice.uniform(0.9, 1.1))


def view(dice: Dice, look: Look, size: int, eye: Eye, shift: tuple[float, float]) -> View:
    """The frame of height ``size`` pixels; ``shift`` moves the field off the frame's centre, in field radii."""
    width = int(size * look.aspect)
    radius = size * look.radius
    cx = width / 2 + dice.uniform(-0.01, 0.01) * size + shift[0] * radius
    cy = size / 2 + dice.uniform(-0.008, 0.008) * size + shift[1] * radius
    return View(size, width, cx, cy, radius, -1.0 if eye is Eye.LEFT else 1.0)


def quadrant(where: Anatomy, x: Floats, y: Floats) -> NDArray[np.int64]:
    """Index into ``grading.QUADRANTS`` of points of the plane."""
    below, nasal = y >= where.fovea[1], x >= where.fovea[0]
    return below.astype(np.int64) * 2 + nasal.astype(np.int64)
