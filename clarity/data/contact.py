"""A contact sheet: a row a grade, so that a person sees in one look what a version of the data set is made of."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from clarity import grades
from clarity.data.manifest import photograph_path
from clarity.errors import ClarityError
from clarity.imaging import decode
from clarity.params import ImagingParams
from clarity.records import Image

_SIDE, _GAP, _LABEL = 176, 6, 26
_COLUMNS = 8
_PAPER, _INK = (250, 250, 250), (40, 40, 40)


def sheet(table: pd.DataFrame, data: Path, imaging: ImagingParams) -> Image:
    """(H, W, 3) uint8 RGB: up to eight photographs of each grade that is there, spread evenly over the manifest."""
    rows = [(_title(table, grade), _spread(_of(table, grade))) for grade in (*grades.GRADES, None)]
    strips = [_strip(title, chosen, data, imaging) for title, chosen in rows if len(chosen)]
    width = _COLUMNS * (_SIDE + _GAP) + _GAP
    return np.concatenate(strips) if strips else np.full((_LABEL, width, 3), 250, np.uint8)


def encode(image: Image) -> bytes:
    """PNG bytes, nothing but pixels in them."""
    return bytes(cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1])


def _of(table: pd.DataFrame, grade: int | None) -> pd.DataFrame:
    return table[table["grade"].isna() if grade is None else (table["grade"] == grade).fillna(value=False)]


def _title(table: pd.DataFrame, grade: int | None) -> str:
    name = "no grade" if grade is None else f"{grade}  {grades.NAMES[grade]}"
    return f"{name}   ({len(_of(table, grade))})"


def _spread(rows: pd.DataFrame) -> pd.DataFrame:
    count = min(_COLUMNS, len(rows))
    return rows.iloc[np.linspace(0, max(len(rows) - 1, 0), count).astype(int)]


def _strip(title: str, chosen: pd.DataFrame, data: Path, imaging: ImagingParams) -> Image:
    strip = np.full((_LABEL + _SIDE + _GAP, _COLUMNS * (_SIDE + _GAP) + _GAP, 3), _PAPER, np.uint8)
    cv2.putText(strip, title, (_GAP, _LABEL - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.55, _INK, 1, cv2.LINE_AA)
    for column, (sha, suffix) in enumerate(zip(chosen["sha256"], chosen["suffix"], strict=True)):
        left = _GAP + column * (_SIDE + _GAP)
        strip[_LABEL : _LABEL + _SIDE, left : left + _SIDE] = _thumbnail(data / photograph_path(sha, suffix), imaging)
    return strip


def _thumbnail(path: Path, imaging: ImagingParams) -> Image:
    frame = np.zeros((_SIDE, _SIDE, 3), np.uint8)
    try:
        image = decode(path.read_bytes(), imaging)
    except (OSError, ClarityError):
        return frame
    scale = _SIDE / max(image.shape[:2])
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    top, left = (_SIDE - height) // 2, (_SIDE - width) // 2
    frame[top : top + height, left : left + width] = cv2.resize(image, (width, height), interpolation=how)
    return frame
