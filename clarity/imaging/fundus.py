"""What is cut out of a photograph once its field of view is known: the square, resized, its contrast equalised.

Pure functions on arrays; none changes its caller's.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from clarity.imaging.view import View
from clarity.records import Crop, Field, Image

_PLAIN, _SOFTENING = 2.0, 0.45
"""Where more pixels than this become one, two neighbours no longer stand for all: a blur of this deviation helps. So it
takes a third of INTER_AREA's time and is 0.2 to 0.6 grey levels from it (23 photographs, before CLAHE)."""


def square(field: Field) -> Crop:
    """The square around the field of view; it may reach outside the photograph."""
    edge = 0.5 - field.radius
    return Crop(field.cx + edge, field.cy + edge, 2 * field.radius)


def crop(view: View, area: Crop, size: int) -> Image:
    """The square ``area`` (in original pixels) as (size, size, 3); what lies outside the photograph is black."""
    ratio = area.side / view.factor / size
    image = cv2.GaussianBlur(view.image, (3, 3), _SOFTENING) if ratio > _PLAIN else view.image
    # Where the centre of the first pixel comes from; centres are whole numbers, edges lie half a pixel before.
    x, y = ((edge - start) / view.factor + (ratio - 1) / 2 for edge, start in
            ((area.left, view.left), (area.top, view.top)))  # fmt: skip
    place = np.array([[ratio, 0, x], [0, ratio, y]])
    cut: Image = cv2.warpAffine(image, place, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return cut


def inside(field: Field, area: Crop, size: int) -> NDArray[np.bool_]:
    """(size, size) mask of the pixels of a cropped image that lie in the field of view."""
    scale = area.side / size
    x = (area.left + (np.arange(size) + 0.5) * scale - 0.5 - field.cx).astype(np.float32)
    y = (area.top + (np.arange(size) + 0.5) * scale - 0.5 - field.cy).astype(np.float32)
    within: NDArray[np.bool_] = (x * x)[None, :] + (y * y)[:, None] <= np.float32(field.radius) ** 2
    return within


def only(image: Image, mask: NDArray[np.bool_]) -> Image:
    """A copy that is black where ``mask`` is not."""
    kept: Image = cv2.bitwise_and(image, image, mask=mask.view(np.uint8))
    return kept


def equalise(image: Image, *, clip_limit: float, tiles: int) -> Image:
    """Contrast-limited adaptive histogram equalisation of the L channel of Lab (Zuiderveld 1994); 0 leaves it out."""
    if clip_limit <= 0:
        return image.copy()
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    lightness = cv2.createCLAHE(clipLimit=clip_limit, tileGridSize=(tiles, tiles)).apply(lab[:, :, 0])
    lab[:, :, 0] = lightness
    equalised: Image = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
    return equalised
