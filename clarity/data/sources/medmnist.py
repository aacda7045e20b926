"""RetinaMNIST (Yang et al. 2023): retinamnist*.npz with {train,val,test}_images and _labels; official sides kept.

An array has no encoded bytes, so each picture becomes a PNG, always the same one for the same pixels.
"""

import io
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from clarity.data.sources.row import SourceRow, parse_grade
from clarity.data.sources.tree import Tree
from clarity.errors import ManifestError, SourceError

NAME = "medmnist"
LICENCE = "CC BY 4.0 (Yang et al. 2023)"
_SIDES = {"train": "train", "val": "validation", "test": "test"}
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 6, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE]


@dataclass(frozen=True)
class ArrayPicture:
    """One picture of one array of an npz file, as PNG bytes."""

    archive: Callable[[], bytes]
    array: str
    index: int

    def __call__(self) -> bytes:
        """PNG of the picture. Raises SourceError."""
        pixels = _array(self.archive, self.array)[self.index]
        stored = np.ascontiguousarray(pixels[..., ::-1] if pixels.ndim == 3 else pixels)
        done, encoded = cv2.imencode(".png", stored, _PNG)
        if not done:
            raise SourceError(f"{self.array}[{self.index}]: {pixels.dtype} {pixels.shape}, cannot be written as PNG")
        return encoded.tobytes()


def recognises(tree: Tree) -> bool:
    """By the file's name, retinamnist*.npz."""
    return bool(_archives(tree))


def read(tree: Tree) -> Iterator[SourceRow]:
    """Train, validation and test pictures in the file's order. Raises ManifestError, SourceError."""
    for name in _archives(tree)[-1:]:  # of several sizes the last name is the largest
        archive = tree.reader(name)
        for part, side in _SIDES.items():
            labels = _array(archive, f"{part}_labels").ravel()
            for index, label in enumerate(labels):
                grade, bad = parse_grade(str(label))
                yield SourceRow(
                    source=NAME,
                    name=f"{part}/{index:05d}.png",
                    read=ArrayPicture(archive, f"{part}_images", index),
                    patient=f"{NAME}:{part}/{index:05d}",
                    grade=grade,
                    split=side,
                    licence=LICENCE,
                    problem=bad,
                    stamp=f"{tree.files[name]}-{index}",
                )


def _archives(tree: Tree) -> list[str]:
    found = [n for n in tree.files if n.rpartition("/")[2].startswith("retinamnist") and n.endswith(".npz")]
    return sorted(found, key=lambda n: (len(n), n))


@lru_cache(maxsize=1)
def _array(archive: Callable[[], bytes], name: str) -> NDArray[np.uint8]:
    try:
        with np.load(io.BytesIO(archive()), allow_pickle=False) as arrays:
            return np.asarray(arrays[name])
    except KeyError:
        raise ManifestError(f"retinamnist: no array {name!r} in the file") from None
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise SourceError(f"retinamnist: not a readable npz file ({error})") from None
