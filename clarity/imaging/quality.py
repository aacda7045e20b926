"""Whether a capture can be graded, and if not, why: a score in [0, 1] and named reasons, in a few milliseconds."""

import cv2
import numpy as np
from numpy.typing import NDArray

from clarity.imaging import fundus
from clarity.params import QualityParams
from clarity.records import Field, Image, Quality

DARK, BRIGHT, BLURRED = "too dark", "too bright", "blurred"
CUT, OTHER = "field of view cut", "not a fundus photograph"
SIDE = 256
"""Pixels across the field of view at which everything is measured, so that thresholds hold for any camera."""


def assess(image: Image, field: Field | None, params: QualityParams) -> Quality:
    """Judge (H, W, 3) uint8 RGB, before CLAHE, in whose pixels ``field`` is; None = no field of view was found."""
    if field is None:
        return Quality(0.0, gradable=False, reasons=(OTHER,))
    area = fundus.square(field)
    view = fundus.crop(image, area, SIDE)
    measures = measure(view, fundus.inside(field, area, SIDE)) | {"visible": field.visible}
    reasons = tuple(_reasons(measures, params))
    score = _score(measures, params)
    if not reasons and score < params.min_score:
        reasons = (BLURRED,)
    return Quality(0.0 if OTHER in reasons else score, gradable=not reasons, reasons=reasons, measures=measures)


def measure(view: Image, mask: NDArray[np.bool_]) -> dict[str, float]:
    """Brightness, sharpness and colour inside the field of view of a (SIDE, SIDE, 3) image."""
    inner = cv2.erode(mask.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    red, green, blue = (view[:, :, k][inner].astype(np.float32) for k in range(3))
    fine = view[:, :, 1].astype(np.float32)
    detail = np.abs(cv2.GaussianBlur(fine, (0, 0), 1) - cv2.GaussianBlur(fine, (0, 0), 4))[inner]
    return {
        "brightness": float((0.299 * red + 0.587 * green + 0.114 * blue).mean() / 255),
        "sharpness": float(detail.mean() / (green.mean() + 8) * 20),
        "redness": float((red - blue).mean() / 255),
    }


def _reasons(measures: dict[str, float], params: QualityParams) -> list[str]:
    found = []
    if measures["brightness"] < params.min_brightness:
        found.append(DARK)
    if measures["brightness"] > params.max_brightness:
        found.append(BRIGHT)
    if measures["sharpness"] < params.min_sharpness:
        found.append(BLURRED)
    if measures["visible"] < params.min_visible:
        found.append(CUT)
    return found


def _score(measures: dict[str, float], params: QualityParams) -> float:
    return float(np.clip(measures["sharpness"] / (2 * params.min_sharpness + 1e-6), 0, 1))
