"""The bright disc on a thumbnail: thresholds propose regions, circles are fitted to their outlines, the best is taken.

A circle is judged by how much of the outline lies on it, how clear a step its edge is, and how calm its surround is.
"""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from clarity.imaging import circle

Grey = NDArray[np.uint8]

_MIN_SUPPORT, _MIN_STEP, _MAX_UNREST = 0.55, 0.25, 0.35
_CLEAR_SUPPORT, _CLEAR_STEP = 0.7, 0.6
"""From here on no other threshold is tried."""
_BETTER = 1.1
"""How much better a later threshold must do: between equals a grey level of noise would choose."""
_SHARES = (0.07, 0.2)
"""Of the range from dark to bright. Around many fields of view there is a fainter ring; the first tells it apart."""
_MIN_VISIBLE = 0.35
_MIN_RADIUS, _MAX_RADIUS = 0.20, 0.85
"""Of the field of view, in shorter and in longer sides of the photograph."""
_LIGHT_FRAME = 225
_WITHIN = 0.5
"""How far within the place where an edge crosses the threshold it is drawn, in pixels: the rim itself is half dark."""
_STEPS = (np.arange(256) + 0.5) / 128 - 1
_HALF = np.sqrt(1 - _STEPS * _STEPS)
"""Chords of the disc of radius 1: where they cross its diameter, and half their lengths."""
_OUTWARDS = np.array([[-1], [1]])
_TURN = np.linspace(0, 2 * np.pi, 180, endpoint=False)
_ROUND = np.stack([np.cos(_TURN), np.sin(_TURN)])
_OPENING = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))


def search(light: Grey, shade: Grey) -> circle.Circle | None:
    """The best circle around what is brighter than its surround, or, on white paper, darker.

    ``light`` and ``shade``: (h, w), the brightest and the darkest channel of each pixel.
    """
    best, best_score = None, _MIN_SUPPORT * _MIN_STEP / _BETTER
    for plane, threshold in _candidates(light, shade):
        height, width = plane.shape
        found = circle.fit(
            _outline(plane, threshold),
            least=_MIN_RADIUS * min(height, width),
            most=_MAX_RADIUS * max(height, width),
            tolerance=max(1.5, max(height, width) / 170),
        )
        if found is None or found.support < _MIN_SUPPORT or visible(found, width, height) < _MIN_VISIBLE:
            continue
        edge = _step(plane, found)
        if edge < _MIN_STEP or found.support * edge <= _BETTER * best_score or _unrest(plane, found) > _MAX_UNREST:
            continue
        best, best_score = found, found.support * edge
        if found.support >= _CLEAR_SUPPORT and edge >= _CLEAR_STEP:
            break
    return best


def visible(found: circle.Circle, width: int, height: int) -> float:
    """Share of a circle's disc that lies inside a frame of ``width`` x ``height`` pixels: the sum of its chords."""
    y, half = found.cy + _STEPS * found.radius, _HALF * found.radius
    chord = np.minimum(found.cx + half, width - 0.5) - np.maximum(found.cx - half, -0.5)
    seen = np.maximum(chord, 0) * ((y > -0.5) & (y < height - 0.5))
    return min(1.0, float(seen.sum() / (2 * half.sum())))


def _candidates(light: Grey, shade: Grey) -> Iterator[tuple[Grey, float]]:
    """Planes and thresholds to try, the likeliest first; nobody asks for the others where that one is clear."""
    light = cv2.medianBlur(light, 3)
    yield from ((light, threshold) for threshold in _thresholds(light))
    frame = np.concatenate([light[0], light[-1], light[:, 0], light[:, -1]])
    if np.median(frame) > _LIGHT_FRAME:
        dark = 255 - cv2.medianBlur(shade, 3)
        yield from ((dark, threshold) for threshold in _thresholds(dark))


def _thresholds(light: Grey) -> Iterator[float]:
    dark, bright = _levels(np.ascontiguousarray(light[::2, ::2]), 0.02, 0.98)
    yield from (max(3.0, dark + share * (bright - dark)) for share in _SHARES)
    otsu, _ = cv2.threshold(light, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    yield max(3.0, float(otsu) / 2)


def _levels(grey: Grey, *shares: float, of: NDArray[np.bool_] | None = None) -> list[float]:
    """Percentiles of 8-bit values, from their histogram, between levels: else noise would move them by a whole one.

    Of the pixels where ``of`` is, or of all.
    """
    count = cv2.calcHist([grey], [0], None if of is None else of.view(np.uint8), [256], [0, 256]).ravel()
    below = count.cumsum()
    wanted = np.array(shares) * float(below[-1])
    level = np.searchsorted(below, wanted)
    found: list[float] = (level + 0.5 - (below[level] - wanted) / count[level]).tolist()
    return found


def _outline(light: Grey, threshold: float) -> circle.Points:
    """Ends of every row and column of the largest part above a threshold, hairs and letters and frame left out."""
    mask = cv2.threshold(light, threshold, 1, cv2.THRESH_BINARY)[1]
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, _OPENING)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return np.empty((2, 0))
    x, y = max(contours, key=cv2.contourArea)[:, 0].T.astype(np.intp)  # as indices are: else each use converts them
    height, width = light.shape
    across, down = _ends(x, y, light, threshold), _ends(y, x, light.T, threshold)
    points: circle.Points = np.concatenate([across, down[::-1]], axis=1)
    right, low = points
    return points.compress((right > 1) & (low > 1) & (right < width - 2) & (low < height - 2), axis=1)


def _ends(along: NDArray[np.intp], lines: NDArray[np.intp], light: Grey, threshold: float) -> circle.Points:
    """Where a region ends on each line (row of ``light``) that it has: places and lines.

    Between pixels, by their grey levels: else one level of noise would move an end by a pixel.
    """
    length = light.shape[1]
    first, last = np.full(len(light), length), np.full(len(light), -1)
    np.minimum.at(first, lines, along)
    np.maximum.at(last, lines, along)
    line = np.flatnonzero(last >= 0)
    ends = np.stack([first[line], last[line]])
    inner = light[line, ends].astype(np.float64)
    outer = light[line, np.minimum(np.maximum(ends + _OUTWARDS, 0), length - 1)]
    beyond = np.minimum((inner - threshold) / np.maximum(inner - outer, 1), 1)
    places = ends + _OUTWARDS * (np.maximum(beyond, 0) - _WITHIN)
    return np.stack([places.ravel(), np.concatenate([line, line])])


def _step(light: Grey, found: circle.Circle) -> float:
    """How much brighter it is just inside a circle than just outside, in [-1, 1]: the median Michelson contrast.

    A lamp's glow around the field of view also ends in a circle, but in a faint one.
    """
    aside = max(2.0, 0.025 * found.radius)
    radii = np.array([found.radius - aside, found.radius + aside])[:, None]
    x = np.rint(found.cx + radii * _ROUND[0]).astype(np.intp)
    y = np.rint(found.cy + radii * _ROUND[1]).astype(np.intp)
    both = ((x >= 0) & (x < light.shape[1]) & (y >= 0) & (y < light.shape[0])).all(axis=0)
    if not both.any():
        return 0.0
    inner, outer = light[y[:, both], x[:, both]].astype(np.float64)
    ordered, middle = np.sort((inner - outer) / (inner + outer + 4)), inner.size // 2
    return float(ordered[middle] + ordered[-1 - middle]) / 2  # np.median takes ten times as long over so few


def _unrest(light: Grey, found: circle.Circle) -> float:
    """How uneven it is around a circle, against how much brighter it is inside.

    A camera's surround is of one tone; behind a cat's round head is a room.
    """
    light = np.ascontiguousarray(light[::2, ::2])  # enough, and quicker
    y = (2 * np.arange(light.shape[0], dtype=np.float32) - np.float32(found.cy)) / np.float32(found.radius)
    x = (2 * np.arange(light.shape[1], dtype=np.float32) - np.float32(found.cx)) / np.float32(found.radius)
    away = (y * y)[:, None] + (x * x)[None, :]
    around = (away > 1.04**2) & (away < 1.2**2)
    if not around.any():
        return 0.0
    low, middle, high = _levels(light, 0.15, 0.5, 0.85, of=around)
    (within,) = _levels(light, 0.5, of=away < 0.96**2)
    return (high - low) / max(1.0, within - middle)
