"""A contact sheet of overlays: what the model looked at, a photograph a tile."""

from collections.abc import Sequence

import cv2
import numpy as np

from clarity import grades
from clarity.errors import ObjectMissing
from clarity.records import Image
from clarity.storage import tables
from clarity.storage.objects import Objects

_COLUMNS, SIDE, _CAPTION, GAP = 6, 256, 58, 8
_DARK, _LIGHT, _DIM = (24, 24, 24), (235, 235, 235), (170, 170, 170)


def draw(objects: Objects, worst: Sequence[tuple[tables.Prediction, str]], title: str, notice: str) -> Image | None:
    """Overlays of predictions (with their eye), in their order, RGB; None where there are none.

    An overlay that is gone from the store is a dark square. Raises StorageError.
    """
    tiles = [_tile(objects, prediction, eye) for prediction, eye in worst]
    if not tiles:
        return None
    blank = np.full_like(tiles[0], _DARK)
    columns = min(_COLUMNS, len(tiles))
    tiles += [blank] * (-len(tiles) % columns)
    lines = [np.concatenate(tiles[i : i + columns], axis=1) for i in range(0, len(tiles), columns)]
    body = np.concatenate(lines)
    return np.concatenate([_header(body.shape[1], title, notice), body])


def _tile(objects: Objects, prediction: tables.Prediction, eye: str) -> Image:
    tile = np.full((SIDE + _CAPTION + GAP, SIDE + GAP, 3), _DARK, np.uint8)
    tile[:SIDE, :SIDE] = _picture(objects, prediction.heatmap_key)
    sure = f"confidence {prediction.confidence:.2f}" + (", referable" if prediction.referable else "")
    for line, (text, colour) in enumerate(
        (
            (f"{prediction.grade} {grades.name(prediction.grade)}", _LIGHT),
            (sure, _LIGHT),
            (f"{eye} eye, {prediction.sha256[:8]}", _DIM),
        )
    ):
        _text(tile, text, 2, SIDE + 15 + 17 * line, 0.42, colour)
    return tile


def _picture(objects: Objects, key: str) -> Image:
    """An overlay without its legend, (SIDE, SIDE, 3) RGB; dark where the object is gone."""
    try:
        data = np.frombuffer(objects.get(key), np.uint8)
    except ObjectMissing:
        return np.full((SIDE, SIDE, 3), 60, np.uint8)
    overlay = cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    square = overlay[: overlay.shape[1]]
    small: Image = cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.uint8)
    return small


def _header(width: int, title: str, notice: str) -> Image:
    strip = np.full((66, width, 3), _DARK, np.uint8)
    _text(strip, title, 8, 26, 0.5, _LIGHT)
    _text(strip, notice, 8, 50, 0.42, _DIM)
    return strip


def _text(image: Image, text: str, x: int, y: int, size: float, colour: tuple[int, int, int]) -> None:
    cv2.putText(image, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)
