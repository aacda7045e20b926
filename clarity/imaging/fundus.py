"""What is cut out of a photograph once its field of view is known: the square, resized, its contrast equalised.

Pure functions on arrays; none changes its caller's.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from clarity.records import Crop, Field, Image


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
