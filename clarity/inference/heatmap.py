"""Class activation maps as numbers and as pictures: normalised as Grad-CAM, masked to the field of view, overlaid.

Pure functions. Colours are viridis (perceptually uniform, readable by colour-blind people and in grey); its opacity
follows the evidence, so that where there is none the photograph is seen as it is.
"""

from io import BytesIO
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from clarity import grades
from clarity.errors import InferenceError
from clarity.inference import carried
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
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE,
        cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_AVG]  # fmt: skip
"""Of all settings the quickest that is no larger than the library's own choice: 8 ms instead of 18 for 512 pixels."""
_EPSILON = 1e-7
"""As in pytorch-grad-cam: keeps an all-zero map zero."""
_WEBP_QUALITY, _WEBP_METHOD = 90, 0
"""31 kB in 7 ms for 512 pixels, as PNG 247 kB in 6 ms. OpenCV knows no method but the fourth, which takes 18 ms."""


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
    grown = cv2.resize(cam, (width, height), interpolation=cv2.INTER_CUBIC)
    clipped: Map = np.clip(grown, 0.0, 1.0).astype(np.float32)
    return clipped


def field_mask(prepared: Prepared, size: int) -> Map:
    """(size, size) float32 over the prepared square: 1 where the photograph shows the eye, 0 elsewhere, a soft edge.

    Elsewhere is outside the circle of the field of view, and where the camera's frame cut that circle off.
    """
    step = prepared.crop.side / size
    at = (np.arange(size, dtype=np.float32) + 0.5) * step - 0.5
    x, y = (prepared.crop.left + at)[None, :], (prepared.crop.top + at)[:, None]
    soft = np.float32(step * max(1.0, 0.01 * size))
    away = np.sqrt((x - prepared.field.cx) ** 2 + (y - prepared.field.cy) ** 2, dtype=np.float32)
    frame = np.minimum(np.minimum(x, prepared.width - 1 - x), np.minimum(y, prepared.height - 1 - y))
    mask: Map = np.clip(np.minimum(prepared.field.radius - away, frame) / soft + np.float32(0.5), 0, 1)
    return mask


def overlay(image: Image, cam: Map) -> Image:
    """Lay a map (H, W) in 0..1 over an RGB image (H, W, 3); neither is changed."""
    alpha = np.multiply(cam, _OPACITY, dtype=np.float32)
    blended: Image = cv2.blendLinear(image, colours(cam), 1 - alpha, alpha)
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


def colours(cam: Map) -> Image:
    """A map in 0..1 as viridis, RGB uint8."""
    levels = np.rint(np.clip(cam, 0.0, 1.0) * 255).astype(np.uint8)
    coloured: Image = cv2.applyColorMap(levels, _VIRIDIS)
    return coloured


def encode(image: Image, format: Format = "png", *, maps: Map | None = None) -> bytes:
    """RGB (H, W, 3) uint8 as PNG, or as WebP (lossy, an eighth of the bytes): no EXIF, no text, no date.

    The file also carries ``maps`` (5, h, w), for ``numbers``. Raises InferenceError where float16 cannot hold them.
    """
    data = _webp(image) if format == "webp" else _png(image)
    return data if maps is None else carried.put(data, maps)


def numbers(picture: bytes) -> Map:
    """The class activation maps, (5, h, w) float32 of half precision, that an encoded overlay carries.

    Raises InferenceError where it carries none.
    """
    return carried.get(picture)


def _png(image: Image) -> bytes:
    done, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), _PNG)
    if not done:
        raise InferenceError(f"picture {image.shape}: could not be encoded as PNG")
    return bytes(data.tobytes())


def _webp(image: Image) -> bytes:
    kept = BytesIO()
    Pillow.fromarray(image).save(kept, "WEBP", quality=_WEBP_QUALITY, method=_WEBP_METHOD)
    return kept.getvalue()


def _stretch(cam: Map) -> Map:
    lifted = cam - cam.min()
    stretched: Map = (lifted / (_EPSILON + lifted.max())).astype(np.float32)
    return stretched
