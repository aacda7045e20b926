"""DICOM photographs (Ophthalmic Photography and its kin): one frame, any transfer syntax that pydicom's plugins read.

Only pixels leave; names, dates and identifiers of the data set are never read into a record.
"""

from io import BytesIO

import numpy as np
import pydicom
from pydicom.dataset import FileDataset
from pydicom.errors import InvalidDicomError
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array

from clarity.errors import UnreadableImage
from clarity.imaging.decode import check_pixels, to_rgb
from clarity.params import ImagingParams
from clarity.records import Image


def decode(data: bytes, params: ImagingParams) -> Image:
    """A DICOM file's one frame as (H, W, 3) uint8 RGB.

    MONOCHROME1/2, RGB, YBR and PALETTE COLOR, 8 to 16 bits stored. Raises UnreadableImage (no pixels, several frames,
    damaged, or a compression that no plugin reads) and ImageTooLarge (judged from Rows and Columns, before decoding).
    """
    dataset = _read(data)
    rows, columns = int(dataset.get("Rows", 0)), int(dataset.get("Columns", 0))
    frames = int(dataset.get("NumberOfFrames", 1) or 1)
    if not rows or not columns or "PixelData" not in dataset:
        raise UnreadableImage(f"DICOM: {len(data)} bytes, no pixel data")
    if frames != 1:
        raise UnreadableImage(f"DICOM: {frames} frames, not one photograph")
    check_pixels(columns, rows, params)
    try:
        return _pixels(dataset)
    except UnreadableImage:
        raise
    except Exception as error:  # noqa: BLE001  plugins raise whatever they like on damaged data
        raise UnreadableImage(f"DICOM: {len(data)} bytes, pixel data cannot be decoded ({error})") from None


def _read(data: bytes) -> FileDataset:
    try:
        return pydicom.dcmread(BytesIO(data))
    except (InvalidDicomError, OSError, ValueError, KeyError, AttributeError, NotImplementedError) as error:
        raise UnreadableImage(f"DICOM: {len(data)} bytes, damaged ({error})") from None


def _pixels(dataset: FileDataset) -> Image:
    kind = str(dataset.PhotometricInterpretation)
    pixels = pixel_array(dataset, raw=False)
    if kind == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, dataset)
        return to_rgb(pixels)
    if kind in ("MONOCHROME1", "MONOCHROME2"):
        most = (1 << int(dataset.BitsStored)) - 1
        grey = np.clip(pixels.astype(np.float32) / most, 0, 1)
        return to_rgb(np.rint((1 - grey if kind == "MONOCHROME1" else grey) * 255).astype(np.uint8))
    return to_rgb(pixels)
