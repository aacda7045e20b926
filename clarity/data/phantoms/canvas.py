"""Layers of opacity, drawn as polygons at twice the frame's resolution, and the pixel masks of the lesions."""

import cv2
import numpy as np
from numpy.typing import NDArray

from clarity.data.phantoms.anatomy import View
from clarity.data.phantoms.exact import PI, Dice, Floats, Plane, cos, sin

_FINE = 2
_SHIFT = 4  # fractional bits of a vertex: OpenCV fills polygons in integer arithmetic


class Canvas:
    """Named layers (2H, 2W) uint8, made when first drawn on, and masks (H, W) by kind of lesion."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.layers: dict[str, NDArray[np.uint8]] = {}
        self.masks: dict[str, NDArray[np.uint8]] = {}

    def polygon(self, layer: str, x: Floats, y: Floats, value: float, kind: str | None = None) -> None:
        """Fill a polygon of the eye's plane with ``value`` 0..255, and mark it in the mask of ``kind``."""
        column, row = self.view.pixels(x, y)
        if layer not in self.layers:
            self.layers[layer] = np.zeros((self.view.height * _FINE, self.view.width * _FINE), np.uint8)
        colour = (int(value), int(value), int(value), 0)
        cv2.fillPoly(self.layers[layer], [_vertices(column, row, _FINE)], colour, cv2.LINE_AA, _SHIFT)
        if kind is not None:
            self._mask(kind, column, row)

    def _mask(self, kind: str, column: Floats, row: Floats) -> None:
        if kind not in self.masks:
            self.masks[kind] = np.zeros((self.view.height, self.view.width), np.uint8)
        cv2.fillPoly(self.masks[kind], [_vertices(column, row, 1)], (1, 1, 1, 0), cv2.LINE_8, _SHIFT)

    def stroke(self, layer: str, x: Floats, y: Floats, width: Floats, value: float, kind: str | None = None) -> None:
        """Draw a line of varying width (N,), given in field radii; it ends where the width is 0.

        Under two fine pixels of width it pales instead of thinning.
        """
        count = int(np.argmin(width > 0)) if not width.all() else len(width)
        if count < 2:
            return
        x, y, width = x[:count], y[:count], width[:count]
        dx, dy = _slope(x), _slope(y)
        norm = np.sqrt(dx * dx + dy * dy) + 1e-12
        fine = 1.0 / (_FINE * self.view.radius)
        half = np.maximum(width - fine, fine) / 2.0
        nx, ny = -dy / norm * half, dx / norm * half
        mean = (width[0] + width[-1]) / (4.0 * fine)
        paled = value * min(1.0, 0.3 + 0.35 * mean)
        outline = np.concatenate([x + nx, (x - nx)[::-1]]), np.concatenate([y + ny, (y - ny)[::-1]])
        self.polygon(layer, *outline, paled, kind)

    def opacity(self, layer: str, *, blur: float = 0.0) -> Plane:
        """The layer as (H, W) float32 in [0, 1], softened by ``blur`` field radii."""
        if layer not in self.layers:
            return np.zeros((self.view.height, self.view.width), np.float32)
        fine = self.layers[layer]
        rows = fine[0::2].astype(np.uint16) + fine[1::2]
        whole = ((rows[:, 0::2] + rows[:, 1::2] + 2) >> 2).astype(np.uint8)
        whole = cv2.GaussianBlur(whole, (0, 0), max(blur * self.view.radius, 0.45))  # uint8: integer, bit-exact
        return np.asarray(whole, np.float32) / np.float32(255.0)


_ROUND = np.linspace(0.0, 2 * PI, 20, endpoint=False)
_COS, _SIN = cos(_ROUND), sin(_ROUND)
_HARMONICS = np.stack([2 * _ROUND, 3 * _ROUND, 5 * _ROUND])


def blob(dice: Dice, x: float, y: float, radius: float, *, rough: float, stretch: float = 1.0) -> tuple[Floats, Floats]:
    """The outline of a roundish spot, 20 points; ``rough`` 0 is an ellipse, ``stretch`` its axes' ratio."""
    phases = dice.array(0.0, 2 * PI, 3)
    waves = sin(_HARMONICS + phases[:, None])
    uneven = 1.0 + rough * (0.6 * waves[0] + 0.4 * waves[1] + 0.15 * waves[2])
    turn = dice.uniform(0.0, PI)
    a, b = _COS * uneven * radius * stretch, _SIN * uneven * radius
    c, s = float(cos(turn)), float(sin(turn))
    return x + a * c - b * s, y + a * s + b * c


def _slope(values: Floats) -> Floats:
    slope = np.empty_like(values)
    slope[1:-1] = values[2:] - values[:-2]
    slope[0], slope[-1] = values[1] - values[0], values[-1] - values[-2]
    return slope


def _vertices(column: Floats, row: Floats, scale: int) -> NDArray[np.int32]:
    """Pixel centres at whole numbers, in OpenCV's fixed point."""
    offset = (scale - 1) / 2.0
    points = np.stack([column * scale + offset, row * scale + offset], axis=1)
    return np.floor(points * (1 << _SHIFT) + 0.5).astype(np.int32)
