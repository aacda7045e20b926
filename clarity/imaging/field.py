"""The field of view of a fundus photograph: a disc, brighter than its surround, whose edge is part of a circle.

Colour and texture are not asked here; ``quality`` judges what the disc shows.
"""

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from clarity.errors import NotFundus
from clarity.imaging import circle
from clarity.records import Field, Image

Grey = NDArray[np.uint8]

WORKING = 512
"""Longer side, in pixels, of the copy on which the field of view is searched and quality is measured."""
_MIN_SUPPORT, _MIN_STEP, _MAX_UNREST = 0.55, 0.25, 0.35
_MIN_VISIBLE = 0.35
_MIN_RADIUS, _MAX_RADIUS = 0.20, 0.85
"""Of the field of view, in shorter and in longer sides of the photograph."""
_DARK_FRAME, _LIGHT_FRAME = 40, 225


def shrink(image: Image, side: int = WORKING) -> tuple[Image, float]:
    """A copy whose longer side is at most ``side``, and how many original pixels one of its pixels is."""
    scale = max(image.shape[:2]) / side
    if scale <= 1:
        return image, 1.0
    size = (max(1, round(image.shape[1] / scale)), max(1, round(image.shape[0] / scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), scale


def find_field(image: Image) -> Field:
    """The circle of the field of view in (H, W, 3) uint8 RGB, also where top, bottom or sides of it are cut off.

    Raises NotFundus where no disc with a clear edge is found.
    """
    small, scale = shrink(image)
    left, top, inner = _without_border(small)
    found = _search(inner)
    if found is None:
        raise NotFundus(f"image: {image.shape[1]} x {image.shape[0]} pixels, no field of view found")
    visible = _visible(found, inner.shape[1], inner.shape[0])
    return enlarge(Field(found.cx + left, found.cy + top, found.radius, visible), scale)


def enlarge(field: Field, scale: float) -> Field:
    """A field found on a shrunken copy, in pixels of the photograph whose pixels are ``scale`` times finer."""
    cx, cy = (field.cx + 0.5) * scale - 0.5, (field.cy + 0.5) * scale - 0.5
    return replace(field, cx=cx, cy=cy, radius=field.radius * scale)


def whole(width: int, height: int) -> Field:
    """The largest disc in the middle of a photograph: what is shown where no field of view was found."""
    return Field((width - 1) / 2, (height - 1) / 2, min(width, height) / 2, 1.0)


def _without_border(image: Image) -> tuple[int, int, Image]:
    """Left and top of what remains, and what remains, when plain strips that are not black are taken off all sides."""
    red, green, blue = cv2.split(image)
    light = cv2.max(cv2.max(red, green), blue)
    top, bottom = _plain(light), _plain(light[::-1])
    left, right = _plain(light.T), _plain(light.T[::-1])
    height, width = light.shape
    if top + bottom > height // 2 or left + right > width // 2:
        return 0, 0, image
    return left, top, image[top : height - bottom, left : width - right]


def _plain(light: Grey) -> int:
    """How many rows from the first are of one tone, brighter than the dark around a field of view."""
    plain = _one_tone(light[:3])
    if not plain.any():
        return 0
    plain = _one_tone(light)
    start = int(plain.argmax())
    ended = ~plain[start:]
    return start + int(ended.argmax()) + 1 if ended.any() else len(light)


def _one_tone(light: Grey) -> NDArray[np.bool_]:
    low, middle, high = np.percentile(light, (2, 50, 98), axis=1)
    one: NDArray[np.bool_] = (high - low < 16) & (middle > _DARK_FRAME)
    return one


def _search(small: Image) -> circle.Circle | None:
    """The best circle around what is brighter than its surround, or, on white paper, darker."""
    red, green, blue = cv2.split(small)
    light = cv2.medianBlur(cv2.max(cv2.max(red, green), blue), 5)
    candidates = [(light, threshold) for threshold in _thresholds(light)]
    frame = np.concatenate([light[0], light[-1], light[:, 0], light[:, -1]])
    if np.median(frame) > _LIGHT_FRAME:
        shade = 255 - cv2.medianBlur(cv2.min(cv2.min(red, green), blue), 5)
        candidates += [(shade, threshold) for threshold in _thresholds(shade)]
    best, best_score = None, _MIN_SUPPORT * _MIN_STEP
    longer = max(light.shape)
    for plane, threshold in candidates:
        found = circle.fit(
            _outline(_region(plane, threshold)),
            least=_MIN_RADIUS * min(light.shape),
            most=_MAX_RADIUS * longer,
            tolerance=max(1.5, longer / 170),
        )
        if found is None or found.support < _MIN_SUPPORT or _visible(found, *small.shape[1::-1]) < _MIN_VISIBLE:
            continue
        edge = _step(plane, found)
        if edge >= _MIN_STEP and _unrest(plane, found) <= _MAX_UNREST and found.support * edge > best_score:
            best, best_score = found, found.support * edge
    return best


def _step(light: Grey, found: circle.Circle) -> float:
    """How much brighter it is just inside a circle than just outside, in [-1, 1]: the median Michelson contrast.

    A lamp's glow around the field of view also ends in a circle, but in a faint one.
    """
    turn = np.linspace(0, 2 * np.pi, 360, endpoint=False)
    values = []
    aside = max(2.0, 0.025 * found.radius)
    for radius in (found.radius - aside, found.radius + aside):
        x = np.rint(found.cx + radius * np.cos(turn)).astype(int)
        y = np.rint(found.cy + radius * np.sin(turn)).astype(int)
        seen = (x >= 0) & (x < light.shape[1]) & (y >= 0) & (y < light.shape[0])
        grey = light[np.where(seen, y, 0), np.where(seen, x, 0)].astype(np.float64)
        values.append(np.where(seen, grey, np.nan))
    both = np.isfinite(values[0]) & np.isfinite(values[1])
    if not both.any():
        return 0.0
    inner, outer = values[0][both], values[1][both]
    return float(np.median((inner - outer) / (inner + outer + 4)))


def _unrest(light: Grey, found: circle.Circle) -> float:
    """How uneven it is around a circle, against how much brighter it is inside.

    A camera's surround is of one tone; behind a cat's round head is a room.
    """
    light = light[::2, ::2]  # enough, and quicker
    y, x = 2 * np.arange(light.shape[0])[:, None], 2 * np.arange(light.shape[1])[None, :]
    away = np.hypot(x - found.cx, y - found.cy) / found.radius
    around = light[(away > 1.04) & (away < 1.2)]
    if not around.size:
        return 0.0
    low, middle, high = np.percentile(around, (15, 50, 85))
    return float((high - low) / max(1.0, np.median(light[away < 0.96]) - middle))


def _thresholds(light: Grey) -> list[float]:
    otsu, _ = cv2.threshold(light, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    dark, bright = np.percentile(light, (2, 98))
    levels = [dark + share * (bright - dark) for share in (0.05, 0.1, 0.2)]
    return sorted({max(3.0, float(level)) for level in [*levels, otsu / 2]})


def _region(light: Grey, threshold: float) -> NDArray[np.bool_]:
    """The largest connected part above a threshold, without hairs and letters."""
    mask = (light > threshold).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9)))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        return np.zeros(light.shape, dtype=np.bool_)
    largest: NDArray[np.bool_] = labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    return largest


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


def _visible(found: circle.Circle, width: int, height: int) -> float:
    steps = (np.arange(256) + 0.5) / 128 - 1
    x, y = found.cx + steps * found.radius, found.cy + steps * found.radius
    disc = np.hypot(steps[None, :], steps[:, None]) <= 1
    frame = ((x > -0.5) & (x < width - 0.5))[None, :] & ((y > -0.5) & (y < height - 0.5))[:, None]
    return float((disc & frame).sum() / disc.sum())
