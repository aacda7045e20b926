"""Class activation maps as numbers and as pictures: normalised as Grad-CAM, masked to the field of view, overlaid.

Pure functions. Colours are viridis (perceptually uniform, readable by colour-blind people and in grey); its opacity
follows the evidence, so that where there is none the photograph is seen as it is.
"""

import functools
from io import BytesIO
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from clarity import grades
from clarity.errors import InferenceError
from clarity.inference import carried, png
from clarity.records import Image, Prepared

Map = NDArray[np.float32]
Subject = int | Literal["referable"]
"""What a heatmap speaks for: a grade, or grades 2 to 4 together."""
Format = Literal["png", "webp"]
_OPACITY = 0.65
_VIRIDIS = cv2.cvtColor(
    cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB
)
"""(256, 1, 3) RGB: given to OpenCV as it shall come out, no picture is turned from BGR."""
_KEPT = np.rint(255 - _OPACITY * np.arange(256)).astype(np.uint8)
"""(256,): by the level of the evidence, how many 255ths of the photograph stay."""
_TINT = np.rint((1 - _KEPT / 255)[:, None, None] * _VIRIDIS).astype(np.uint8)
"""(256, 1, 3) RGB: what of the colour is added to them."""
_EPSILON = 1e-7
"""As in pytorch-grad-cam: keeps an all-zero map zero."""
_ONE_THREAD = 1 << 18
"""Multiplications up to which OpenBLAS keeps to the calling thread. After a larger product its other threads spin for
milliseconds in wait of the next one: more than a whole overlay costs, on cores that grade by then."""
_WEBP_QUALITY, _WEBP_METHOD = 90, 0
"""31 kB in 7 ms for 512 pixels, as PNG 245 kB in 3 ms. OpenCV knows no method but the fourth, which takes 18 ms."""


def heatmap(maps: Map, grade: Subject) -> Map:
    """(5, h, w) class activation maps -> (h, w) float32 in 0..1 for one grade: Grad-CAM of the last feature map.

    ``"referable"`` explains the sum of the logits of grades 2 to 4: by linearity the sum of their maps. Negative
    evidence is cut off, then the map is stretched to 0..1 (Selvaraju et al. 2017, equation 2; normalised as
    pytorch-grad-cam does). All zero where nothing speaks for it. Raises InferenceError on another shape, on NaN, or an
    unknown grade.
    """
    return _stretch(np.maximum(evidence(maps, grade), 0))


def evidence(maps: Map, grade: Subject) -> Map:
    """(5, h, w) -> (h, w) of one grade or the referable sum, in logits: what ``heatmap`` stretches. Raises as it."""
    known = grade == "referable" or grades.is_grade(grade)
    if maps.ndim != 3 or len(maps) != len(grades.GRADES) or not known:
        raise InferenceError(f"maps {maps.shape}, grade {grade!r}: not ({len(grades.GRADES)}, h, w) and an ICDR grade")
    if not np.isfinite(maps).all():
        raise InferenceError(f"maps {maps.shape}: hold NaN or infinity, no heatmap can be drawn")
    chosen: Map = maps[grades.REFERABLE_FROM :].sum(axis=0) if grade == "referable" else maps[grade]
    return chosen


def upsample(cam: Map, width: int, height: int) -> Map:
    """(h, w) -> (height, width) float32 in 0..1, smoothly (cubic); the centres of cells stay where they are."""
    tall, across = _growth(cam.shape[0], height) @ cam, _growth(cam.shape[1], width).T
    grown: Map = np.empty((height, width), np.float32)
    rows = max(1, _ONE_THREAD // across.size)
    for top in range(0, height, rows):
        np.matmul(tall[top : top + rows], across, out=grown[top : top + rows])
    return np.clip(grown, 0.0, 1.0, out=grown)


@functools.lru_cache(maxsize=16)
def _growth(cells: int, pixels: int) -> Map:
    """(pixels, cells): how much of each cell each pixel takes. Multiplied by it, a map grows in a sixth of the time."""
    grown: Map = cv2.resize(np.eye(cells, dtype=np.float32), (cells, pixels), interpolation=cv2.INTER_CUBIC)
    return grown


def field_mask(prepared: Prepared, size: int) -> Map:
    """(size, size) float32 over the prepared square: 1 where the photograph shows the eye, 0 elsewhere, a soft edge.

    Elsewhere is outside the circle of the field of view, and where the camera's frame cut that circle off.
    """
    step = prepared.crop.side / size
    at = (np.arange(size, dtype=np.float32) + 0.5) * step - 0.5
    x, y = prepared.crop.left + at, prepared.crop.top + at
    soft = step * max(1.0, 0.01 * size)
    from_x, from_y = (x - prepared.field.cx) / soft, (y - prepared.field.cy) / soft
    away = cv2.sqrt(np.add.outer(from_y * from_y, from_x * from_x))
    mask: Map = np.subtract(np.float32(prepared.field.radius / soft), away, out=away)
    np.minimum(mask, np.minimum(x, prepared.width - 1 - x) / soft, out=mask)
    np.minimum(mask, (np.minimum(y, prepared.height - 1 - y) / soft)[:, None], out=mask)
    mask += 0.5
    return np.clip(mask, 0, 1, out=mask)


def overlay(image: Image, cam: Map) -> Image:
    """Lay a map (H, W) in 0..1 over an RGB image (H, W, 3); neither is changed.

    By whole levels of 255 and tables: in half the time of a blend in floats, and within two grey levels of it.
    """
    levels = cv2.multiply(cam, 255.0, dtype=cv2.CV_8U)
    kept = cv2.cvtColor(cv2.LUT(levels, _KEPT), cv2.COLOR_GRAY2RGB)
    blended: Image = cv2.add(cv2.multiply(image, kept, scale=1 / 255), cv2.applyColorMap(levels, _TINT))
    return blended


def on_prepared(prepared: Prepared, cam: Map, size: int | None = None) -> Image:
    """The overlay on the prepared square, (size, size, 3); ``size`` defaults to the prepared image's own."""
    size = size or len(prepared.image)
    image = prepared.image
    if size != len(image):
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_CUBIC if size > len(image) else cv2.INTER_AREA)
    return overlay(image, upsample(cam, size, size) * field_mask(prepared, size))


def on_original(original: Image, prepared: Prepared, cam: Map, max_side: int = 1024) -> Image:
    """The overlay in the original photograph's coordinates.

    ``original`` is the oriented RGB photograph that ``prepared`` was made from, (H, W, 3); the picture is at most
    ``max_side`` pixels long.
    """
    scale = min(1.0, max_side / max(original.shape[:2]))
    width, height = (max(1, round(original.shape[axis] * scale)) for axis in (1, 0))
    image = original if scale == 1 else cv2.resize(original, (width, height), interpolation=cv2.INTER_AREA)
    side = max(1, round(prepared.crop.side * scale))
    square = upsample(cam, side, side) * field_mask(prepared, side)
    # The centre of pixel 0 is 0, as everywhere in clarity.imaging: a cell's centre is half a step from its edge.
    step = prepared.crop.side * scale / side
    shift_x, shift_y = (edge * scale + step / 2 - 0.5 for edge in (prepared.crop.left, prepared.crop.top))
    move = np.array([[step, 0, shift_x], [0, step, shift_y]], dtype=np.float64)
    return overlay(image, cv2.warpAffine(square, move, (width, height), flags=cv2.INTER_LINEAR).astype(np.float32))


def encode(image: Image, format: Format = "png", *, maps: Map | None = None) -> bytes:
    """RGB (H, W, 3) uint8 as PNG, or as WebP (lossy, an eighth of the bytes): no EXIF, no text, no date.

    The file also carries ``maps`` (5, h, w), for ``numbers``. Raises InferenceError where float16 cannot hold them.
    """
    data = _webp(image) if format == "webp" else png.write(image)
    return data if maps is None else carried.put(data, maps)


def numbers(picture: bytes) -> Map:
    """The class activation maps, (5, h, w) float32 of half precision, that an encoded overlay carries.

    Raises InferenceError where it carries none.
    """
    return carried.get(picture)


def _webp(image: Image) -> bytes:
    kept = BytesIO()
    Pillow.fromarray(image).save(kept, "WEBP", quality=_WEBP_QUALITY, method=_WEBP_METHOD)
    return kept.getvalue()


def _stretch(cam: Map) -> Map:
    lifted = cam - cam.min()
    stretched: Map = (lifted / (_EPSILON + lifted.max())).astype(np.float32)
    return stretched
