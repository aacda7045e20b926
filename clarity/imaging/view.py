"""A photograph whose pixels may each stand for several of the original: where they lie, and how they are made coarser.

The centre of the original's first pixel is (0, 0); its edge is at -0.5.
"""

from dataclasses import dataclass, field, replace

import cv2

from clarity.records import Image


@dataclass(frozen=True, slots=True)
class View:
    """A photograph that may have been decoded at a fraction of its size."""

    image: Image
    """(h, w, 3) uint8 RGB, oriented."""
    width: int
    """Of the oriented original, pixels."""
    height: int
    factor: int = 1
    """How many pixels of the original, along each axis, one of ``image`` covers."""
    left: int = 0
    """Where the first pixel begins in the original: 0, or less where a pixel that is only part picture is mirrored."""
    top: int = 0
    coarser: dict[int, "View"] = field(default_factory=dict, init=False, repr=False, compare=False)
    """By factor, what ``coarsened`` made of it: the circle is often searched on the very pixels that are cropped."""


def full(image: Image) -> View:
    """Pixels that are already at hand, at full size."""
    return View(image, image.shape[1], image.shape[0])


def coarsest(pixels: float, least: int) -> int:
    """The largest of 1, 2, 4, 8, … by which ``pixels`` can be divided and leave ``least``."""
    by = 1
    while pixels >= 2 * by * least:
        by *= 2
    return by


def coarsened(view: View, factor: int) -> View:
    """The same with pixels of ``factor`` original ones, by averaging; as it is where they are that coarse already.

    What is left over at the right and below, less than one such pixel, is left out.
    """
    step = factor // view.factor
    if step <= 1:
        return view
    if factor not in view.coarser:
        view.coarser[factor] = _averaged(view, step)
    return view.coarser[factor]


def _averaged(view: View, step: int) -> View:
    width, height = (max(1, side // step) for side in view.image.shape[1::-1])
    squares = view.image[: height * step, : width * step]
    image = cv2.resize(squares, (width, height), interpolation=cv2.INTER_AREA)
    return replace(view, image=image, factor=step * view.factor)
