"""Whether a capture can be graded, and if not, why: a score in [0, 1] and named reasons, in a few milliseconds.

Everything is measured with the field of view 256 pixels across, so that one set of thresholds holds for every camera.
The score is the product of two things a grader needs: vessels that stand out and light to see them by. It has no
fitted weights. Against EyeQ's labels of 300 EyePACS photographs (206 good, 32 usable, 62 reject) its AUROC is 0.99 for
reject against good; the default ``min_score`` refuses 0 % of good, 9 % of usable, 56 % of reject.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from clarity.imaging import fundus
from clarity.params import QualityParams
from clarity.records import Field, Image, Quality

DARK, BRIGHT, BLURRED = "too dark", "too bright", "blurred"
CUT, OTHER = "field of view cut", "not a fundus photograph"
SIDE = 256
"""Pixels across the field of view at which everything is measured."""

_FULL_SHARPNESS, _FULL_BRIGHTNESS = 0.15, 0.30
"""From here on more contrast, or more light, does not make a photograph better."""
_MAX_ROUGHNESS, _MIN_SHADING, _MIN_REDNESS = 0.06, 0.02, 0.65
"""What no retina shows: texture as rough as fur or print, light as even as paper, a surface more blue than red."""


def assess(image: Image, field: Field | None, params: QualityParams) -> Quality:
    """Judge (H, W, 3) uint8 RGB, before CLAHE, in whose pixels ``field`` is; None = no field of view was found."""
    if field is None:
        return Quality(0.0, gradable=False, reasons=(OTHER,))
    area = fundus.square(field)
    measures = measure(fundus.crop(image, area, SIDE), fundus.inside(field, area, SIDE))
    measures["visible"] = field.visible
    if not _retina(measures):
        return Quality(0.0, gradable=False, reasons=(OTHER,), measures=measures)
    light = min(measures["brightness"] / _FULL_BRIGHTNESS, 1.0)
    contrast = min(measures["sharpness"] / _FULL_SHARPNESS, 1.0)
    score = light * contrast
    reasons = _reasons(measures, params)
    if not reasons and score < params.min_score:
        reasons = (DARK if light < contrast else BLURRED,)
    return Quality(score, gradable=not reasons, reasons=reasons, measures=measures)


def measure(view: Image, inside: NDArray[np.bool_]) -> dict[str, float]:
    """What is measured of a (SIDE, SIDE, 3) view: brightness, sharpness, roughness, shading, redness.

    ``sharpness`` is the contrast of the vessels: the 95th percentile of the black-hat transform of the green channel,
    relative to the light around. ``shading`` and ``roughness`` are the relative deviation of luminance, at large and
    at the finest scale. ``redness`` is the share of pixels that are not more blue than red.
    """
    seen = _seen(view, inside)
    if not seen.any():
        return {"brightness": 0.0, "sharpness": 0.0, "roughness": 0.0, "shading": 0.0, "redness": 1.0}
    red, green, blue = (view[:, :, k].astype(np.float32) for k in range(3))
    luminance = (0.299 * red + 0.587 * green + 0.114 * blue)[seen]
    around = cv2.GaussianBlur(green, (0, 0), 8) + 10
    finest = np.abs(cv2.GaussianBlur(green, (0, 0), 0.7) - cv2.GaussianBlur(green, (0, 0), 2)) / around
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (11, 11))
    vessels = cv2.morphologyEx(cv2.GaussianBlur(green, (0, 0), 0.8), cv2.MORPH_BLACKHAT, disc) / around
    mean = float(luminance.mean())
    return {
        "brightness": mean / 255,
        "sharpness": float(np.percentile(vessels[seen], 95)),
        "roughness": float(finest[seen].mean()),
        "shading": float(luminance.std()) / (mean + 5),
        "redness": float((red + 8 >= blue)[seen].mean()),
    }


def _seen(view: Image, inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where the retina is: the field of view without its rim and without what the frame cuts off."""
    core = cv2.erode(inside.astype(np.uint8), np.ones((13, 13), np.uint8)) > 0
    lit = cv2.dilate(view.max(axis=2), np.ones((9, 9), np.uint8)) > 0
    seen: NDArray[np.bool_] = core & lit
    return seen


def _retina(measures: dict[str, float]) -> bool:
    return (
        measures["roughness"] <= _MAX_ROUGHNESS
        and measures["shading"] >= _MIN_SHADING
        and measures["redness"] >= _MIN_REDNESS
    )


def _reasons(measures: dict[str, float], params: QualityParams) -> tuple[str, ...]:
    found = {
        DARK: measures["brightness"] < params.min_brightness,
        BRIGHT: measures["brightness"] > params.max_brightness,
        BLURRED: measures["sharpness"] < params.min_sharpness,
        CUT: measures["visible"] < params.min_visible,
    }
    return tuple(reason for reason, present in found.items() if present)
