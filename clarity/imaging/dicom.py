"""DICOM photographs (Ophthalmic Photography and its kin): one frame, any transfer syntax that pydicom's plugins read.

Only pixels leave; names, dates and identifiers of the data set are never read into a record.
"""

import struct
from io import BytesIO
from typing import Any

import numpy as np
import pydicom
import simplejpeg
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from pydicom.encaps import get_frame
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGBaseline8Bit

from clarity.errors import UnreadableImage
from clarity.imaging import header
from clarity.imaging.decode import check_pixels, to_rgb
from clarity.params import ImagingParams
from clarity.records import Image

_JPEG2000 = b"\xff\x4f\xff\x51"
_META = 4096
"""Bytes within which a file's own transfer syntax stands."""


def decode(data: bytes, params: ImagingParams) -> Image:
    """A DICOM file's one frame as (H, W, 3) uint8 RGB.

    MONOCHROME1/2, RGB, YBR and PALETTE COLOR, 8 to 16 bits stored. Raises UnreadableImage (no pixels, several frames,
    damaged, or a compression that no plugin reads) and ImageTooLarge: judged before decoding, by what the data set and
    what the compressed frame inside it say.
    """
    dataset = _read(data)
    rows, columns, frames = (_number(dataset, name) for name in ("Rows", "Columns", "NumberOfFrames"))
    if not rows or not columns or "PixelData" not in dataset:
        raise UnreadableImage(f"DICOM: {len(data)} bytes, no pixel data")
    if frames > 1:
        raise UnreadableImage(f"DICOM: {frames} frames, not one photograph")
    check_pixels(columns, rows, params)
    try:
        _check_frame(dataset, params)
        return _pixels(dataset)
    except UnreadableImage:
        raise
    except Exception as error:  # noqa: BLE001  plugins raise whatever they like on damaged data
        reason = str(error).replace("\n", " ")[:200]
        raise UnreadableImage(f"DICOM: {len(data)} bytes, pixel data cannot be decoded ({reason})") from None


def _read(data: bytes) -> FileDataset:
    if f"{DeflatedExplicitVRLittleEndian}".encode() in data[:_META]:
        raise UnreadableImage("DICOM: deflated as a whole, refused because its size is not known before inflating it")
    try:
        return pydicom.dcmread(BytesIO(data))
    except Exception as error:  # noqa: BLE001  a damaged file breaks pydicom in many ways
        raise UnreadableImage(f"DICOM: {len(data)} bytes, damaged ({error})") from None


def _number(dataset: FileDataset, name: str) -> int:
    try:
        return int(dataset.get(name) or 0)
    except (TypeError, ValueError):
        raise UnreadableImage(f"DICOM: {name} is not a number") from None


def _check_frame(dataset: FileDataset, params: ImagingParams) -> None:
    """The compressed frame has a header of its own: it may lie about its size, or be cut short."""
    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated:
        return
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    if frame.startswith(b"\xff\xd8\xff"):
        inner = header.read(frame)
        check_pixels(inner.width, inner.height, params)
    elif _JPEG2000 in frame[:_META]:
        right, bottom = struct.unpack_from(">II", frame, frame.index(_JPEG2000) + 8)
        check_pixels(right, bottom, params)
    if syntax == JPEGBaseline8Bit:
        simplejpeg.decode_jpeg(frame, "GRAY", fastdct=True, min_factor=8, min_height=1, min_width=1, strict=True)


def _pixels(dataset: FileDataset) -> Image:
    kind = str(dataset.PhotometricInterpretation)
    pixels = pixel_array(dataset, raw=False)
    if pixels.min() < 0:  # the Ophthalmic Photography IOD admits unsigned values only; light below 0 has no meaning
        raise UnreadableImage(f"DICOM: pixel values from {pixels.min()}, not a photograph's")
    if kind == "PALETTE COLOR":
        return to_rgb(apply_color_lut(pixels, dataset))
    grey = _eight_bits(pixels, int(dataset.BitsStored))
    return to_rgb(255 - grey if kind == "MONOCHROME1" else grey)


def _eight_bits(pixels: NDArray[Any], stored: int) -> NDArray[np.uint8]:
    if stored == 8 and pixels.dtype == np.uint8:
        return pixels
    if not 8 < stored <= 16:
        raise UnreadableImage(f"DICOM: {stored} bits stored, not 8 to 16")
    scaled = np.clip(pixels.astype(np.float32) * np.float32(255 / ((1 << stored) - 1)), 0, 255)
    rounded: NDArray[np.uint8] = np.rint(scaled).astype(np.uint8)
    return rounded
