"""The strip below an overlay: the colour scale, what it means, and what Clarity is not."""

import functools

import cv2
import numpy as np

from clarity import grades
from clarity.inference.heatmap import Subject, overlay
from clarity.records import Image

_STATEMENT = ("decision support in development,", "not a medical device")
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_GROUND, _INK = 24, (225, 225, 225)


def with_legend(image: Image, subject: Subject) -> Image:
    """``image`` (H, W, 3) RGB with a strip below it, (H + h, W, 3); below 400 pixels the sentences are broken."""
    return np.concatenate([image, _strip(image.shape[1], subject)])


@functools.lru_cache(maxsize=64)
def _strip(width: int, subject: Subject) -> Image:
    """The same for every photograph of a width and a subject; only copied from, as drawing it takes longer."""
    lines = ["evidence, none to most:", _named(subject)]
    if width >= 400:
        lines = [f"{lines[0]} {lines[1]}", " ".join(_STATEMENT)]
    else:
        lines += _STATEMENT
    margin = max(4, width // 64)
    size = min(width / 900, 0.9) if width >= 400 else 0.38
    height = round(size * 34) + 2
    strip = np.full((height * (len(lines) + 1) + margin, width, 3), _GROUND, dtype=np.uint8)
    scale = np.tile(np.linspace(0, 1, width - 2 * margin, dtype=np.float32), (max(4, height // 2), 1))
    strip[margin : margin + len(scale), margin:-margin] = overlay(np.full((*scale.shape, 3), 60, np.uint8), scale)
    for number, text in enumerate(lines):
        at = (margin, margin + len(scale) + round((number + 0.85) * height))
        cv2.putText(strip, text, at, _FONT, size, _INK, 1, cv2.LINE_AA)
    return strip


def _named(subject: Subject) -> str:
    if subject == "referable":
        return f"grades {grades.REFERABLE_FROM} to {grades.GRADES[-1]}, referable"
    return f"grade {subject}, {grades.name(subject)}"
