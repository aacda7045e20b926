"""The field of view of a fundus photograph: found, cropped square, resized, and its contrast equalised.

Pure functions on arrays; none changes its caller's. Colour is judged in ``quality``: here a fundus photograph is a
bright disc on a dark surround.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from clarity.errors import NotFundus
from clarity.imaging import circle
from clarity.records import Crop, Field, Image

WORKING = 512
"""Longer side, in pixels, of the copy on which the field of view is searched and quality is measured."""
_MIN_SUPPORT = 0.55
_MIN_RADIUS, _MAX_RADIUS = 0.22, 0.85


def shrink(image: Image, side: int = WORKING) -> tuple[Image, float]:
    """A copy whose longer side is at most ``side``, and how many original pixels one of its pixels is."""
    scale = max(image.shape[:2]) / side
    if scale <= 1:
        return image, 1.0
    size = (max(1, round(image.shape[1] / scale)), max(1, round(image.shape[0] / scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), scale


def find_field(image: Image) -> Field:
    """The circle of the field of view in (H, W, 3) uint8 RGB, also where top, bottom or sides of it are cut off.

    Raises NotFundus where no bright disc on a dark surround is found.
    """
    small, scale = shrink(image)
    found = _search(small)
    if found is None:
        raise NotFundus(f"image: {image.shape[1]} x {image.shape[0]} pixels, no field of view found")
    visible = _visible(found, small.shape[1], small.shape[0])
    return enlarge(Field(found.cx, found.cy, found.radius, visible), scale)


def enlarge(field: Field, scale: float) -> Field:
    """A field found on a shrunken copy, in pixels of the photograph whose pixels are ``scale`` times finer."""
    return Field((field.cx + 0.5) * scale - 0.5, (field.cy + 0.5) * scale - 0.5, field.radius * scale, field.visible)


def whole(width: int, height: int) -> Field:
    """The largest disc in the middle of a photograph: what is shown where no field of view was found."""
    return Field((width - 1) / 2, (height - 1) / 2, min(width, height) / 2, 1.0)


def square(field: Field) -> Crop:
    """The square around the field of view; it may reach outside the photograph."""
    side = max(1, round(2 * field.radius))
    return Crop(float(round(field.cx + 0.5 - side / 2)), float(round(field.cy + 0.5 - side / 2)), float(side))


def crop(image: Image, area: Crop, size: int) -> Image:
    """The square ``area`` of ``image`` as (size, size, 3); what lies outside the photograph is black."""
    side, left, top = int(area.side), int(area.left), int(area.top)
    height, width = image.shape[:2]
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, width), min(top + side, height)
    if (x0, y0, x1, y1) == (left, top, left + side, top + side):
        cut = image[y0:y1, x0:x1]
    else:
        cut = np.zeros((side, side, 3), dtype=np.uint8)
        cut[y0 - top : y1 - top, x0 - left : x1 - left] = image[y0:y1, x0:x1]
    how = cv2.INTER_AREA if side >= size else cv2.INTER_LINEAR
    resized: Image = cv2.resize(cut, (size, size), interpolation=how)
    return resized


def inside(field: Field, area: Crop, size: int) -> NDArray[np.bool_]:
    """(size, size) mask of the pixels of a cropped image that lie in the field of view."""
    scale = area.side / size
    x = area.left + (np.arange(size) + 0.5) * scale - 0.5
    y = area.top + (np.arange(size) + 0.5) * scale - 0.5
    within: NDArray[np.bool_] = np.hypot(x[None, :] - field.cx, y[:, None] - field.cy) <= field.radius
    return within


def equalise(image: Image, *, clip_limit: float, tiles: int) -> Image:
    """Contrast-limited adaptive histogram equalisation of the L channel of Lab (Zuiderveld 1994); 0 leaves it out."""
    if clip_limit <= 0:
        return image.copy()
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    lightness = cv2.createCLAHE(clipLimit=clip_limit, tileGridSize=(tiles, tiles)).apply(lab[:, :, 0])
    lab[:, :, 0] = lightness
    equalised: Image = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
    return equalised


def _visible(found: circle.Circle, width: int, height: int) -> float:
    steps = (np.arange(256) + 0.5) / 128 - 1
    x, y = found.cx + steps * found.radius, found.cy + steps * found.radius
    disc = np.hypot(steps[None, :], steps[:, None]) <= 1
    frame = ((x > -0.5) & (x < width - 0.5))[None, :] & ((y > -0.5) & (y < height - 0.5))[:, None]
    return float((disc & frame).sum() / disc.sum())


def _search(small: Image) -> circle.Circle | None:
    light = cv2.medianBlur(small.max(axis=2), 5)
    best: circle.Circle | None = None
    longer = max(light.shape)
    for threshold in _thresholds(light):
        points = _edge(light, threshold)
        found = circle.fit(
            points, least=_MIN_RADIUS * longer, most=_MAX_RADIUS * longer, tolerance=max(1.5, longer / 170)
        )
        if found and found.support >= _MIN_SUPPORT and (best is None or found.support > best.support + 0.02):
            best = found
    return best


def _thresholds(light: NDArray[np.uint8]) -> list[float]:
    otsu, _ = cv2.threshold(light, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    dark = float(np.percentile(light, 2))
    bright = float(np.percentile(light, 90))
    steps = [dark + share * (bright - dark) for share in (0.06, 0.12, 0.25)]
    return sorted({max(3.0, step) for step in [*steps, math.floor(otsu / 2)]})


def _edge(light: NDArray[np.uint8], threshold: float) -> NDArray[np.float64]:
    mask = (light > threshold).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9)))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        return np.empty((0, 2))
    region = labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    return _outline(region)


def _outline(region: NDArray[np.bool_]) -> NDArray[np.float64]:
    """First and last pixel of every row and column of a region, without those on the frame."""
    height, width = region.shape
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    first_x, last_x = region.argmax(axis=1)[rows], width - 1 - region[:, ::-1].argmax(axis=1)[rows]
    first_y, last_y = region.argmax(axis=0)[columns], height - 1 - region[::-1].argmax(axis=0)[columns]
    x = np.concatenate([first_x, last_x, columns, columns])
    y = np.concatenate([rows, rows, first_y, last_y])
    free = (x > 1) & (x < width - 2) & (y > 1) & (y < height - 2)
    points: NDArray[np.float64] = np.stack([x, y], axis=1)[free].astype(np.float64)
    return points
