"""A contact sheet of overlays: what the model looked at, a photograph a tile."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from clarity import grades
from clarity.errors import ObjectMissing
from clarity.records import Image
from clarity.storage import tables
from clarity.storage.objects import Objects

_COLUMNS, SIDE, _CAPTION, GAP = 6, 256, 58, 8
_DARK, _LIGHT, _DIM = (24, 24, 24), (235, 235, 235), (170, 170, 170)


@dataclass(frozen=True, slots=True)
class Tile:
    """One photograph's overlay, (SIDE, SIDE, 3) RGB, dark where its object is gone, with three lines below it."""

    image: Image
    lines: tuple[str, str, str]

    def jpeg(self) -> bytes:
        """Small enough that a page of them loads on a telephone."""
        bgr = cv2.cvtColor(self.image, cv2.COLOR_RGB2BGR)
        return bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 82])[1])


def tiles(objects: Objects, worst: Sequence[tuple[tables.Prediction, str]]) -> list[Tile]:
    """Overlays of predictions (with their eye), in their order. Raises StorageError."""
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda one: _tile(objects, *one), worst))


def draw(shown: Sequence[Tile], title: str, notice: str) -> Image | None:
    """All of them on one sheet, RGB; None where there are none."""
    if not shown:
        return None
    cells = [_cell(tile) for tile in shown]
    columns = min(_COLUMNS, len(cells))
    cells += [np.full_like(cells[0], _DARK)] * (-len(cells) % columns)
    lines = [np.concatenate(cells[i : i + columns], axis=1) for i in range(0, len(cells), columns)]
    body = np.concatenate(lines)
    return np.concatenate([_header(body.shape[1], title, notice), body])


def _tile(objects: Objects, prediction: tables.Prediction, eye: str) -> Tile:
    sure = f"confidence {prediction.confidence:.2f}" + (", referable" if prediction.referable else "")
    lines = (f"{prediction.grade} {grades.name(prediction.grade)}", sure, f"{eye} eye, {prediction.sha256[:8]}")
    return Tile(_picture(objects, prediction.heatmap_key), lines)


def _picture(objects: Objects, key: str) -> Image:
    """An overlay without its legend; dark where the object is gone or is no picture."""
    gone = np.full((SIDE, SIDE, 3), 60, np.uint8)
    try:
        data = np.frombuffer(objects.get(key), np.uint8)
    except ObjectMissing:
        return gone
    overlay = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if overlay is None:
        return gone
    square = cv2.cvtColor(overlay, cv2.COLOR_BGR2RGB)[: overlay.shape[1]]
    small: Image = cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.uint8)
    return small


def _cell(tile: Tile) -> Image:
    cell = np.full((SIDE + _CAPTION + GAP, SIDE + GAP, 3), _DARK, np.uint8)
    cell[:SIDE, :SIDE] = tile.image
    for line, (text, colour) in enumerate(zip(tile.lines, (_LIGHT, _LIGHT, _DIM), strict=True)):
        _text(cell, text, 2, SIDE + 15 + 17 * line, 0.42, colour)
    return cell


def _header(width: int, title: str, notice: str) -> Image:
    strip = np.full((66, width, 3), _DARK, np.uint8)
    _text(strip, title, 8, 26, 0.5, _LIGHT)
    _text(strip, notice, 8, 50, 0.42, _DIM)
    return strip


def _text(image: Image, text: str, x: int, y: int, size: float, colour: tuple[int, int, int]) -> None:
    cv2.putText(image, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)
