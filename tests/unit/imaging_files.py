"""Photographs for the imaging tests: a drawn retina, and the same picture in the many files in which one may arrive."""

import struct
import zlib
from io import BytesIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, OphthalmicPhotography8BitImageStorage, generate_uid

from clarity.params import ImagingParams, QualityParams
from clarity.records import Image

IMAGING = ImagingParams(size=224, clahe_clip_limit=2.0, clahe_tiles=8, max_bytes=50_000_000, max_pixels=30_000_000)
QUALITY = QualityParams(
    min_score=0.3, min_brightness=0.12, max_brightness=0.75, min_sharpness=0.035, min_visible=0.7, min_diameter=128
)


def retina(
    width: int = 400, height: int = 300, *, centre: tuple[float, float] | None = None, radius: float | None = None
) -> Image:
    """A plain likeness of a fundus photograph: a shaded orange disc with an optic disc and vessels, on black."""
    cx, cy = centre or ((width - 1) / 2, (height - 1) / 2)
    radius = radius or 0.46 * min(width, height)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    away = np.hypot(x - cx, y - cy) / radius
    image = np.float32([205, 110, 60]) * (1.05 - 0.45 * away[:, :, None] ** 2)
    thick = max(1, round(radius / 45))
    disc = (round(cx + 0.45 * radius), round(cy))
    cv2.circle(image, disc, round(0.13 * radius), (250, 215, 150), -1, cv2.LINE_AA)
    for turn in np.linspace(0.6, 5.7, 14):
        end = (round(disc[0] + 1.6 * radius * np.cos(turn)), round(disc[1] + 1.3 * radius * np.sin(turn)))
        cv2.line(image, disc, end, (150, 65, 35), thick, cv2.LINE_AA)
    image[away > 1] = 2
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def encode(image: NDArray[np.generic], suffix: str, *flags: int) -> bytes:
    """As a file of OpenCV's writing; ``image`` is RGB, RGBA or grey."""
    turned = image
    if image.ndim == 3:
        turned = image[:, :, [2, 1, 0, 3][: image.shape[2]]]
    done, data = cv2.imencode(suffix, np.ascontiguousarray(turned), list(flags))
    assert done
    return data.tobytes()


def jpeg(image: Image, quality: int = 95) -> bytes:
    return encode(image, ".jpg", cv2.IMWRITE_JPEG_QUALITY, quality)


def with_exif(image: Image, orientation: int, kind: str = "JPEG") -> bytes:
    """With an orientation, a date and a GPS tag, as a camera writes them."""
    exif = Pillow.Exif()
    exif[274] = orientation
    exif[306] = "2019:03:04 10:11:12"
    exif.get_ifd(0x8825)[1] = "N"
    out = BytesIO()
    Pillow.fromarray(image).save(out, kind, exif=exif, **({"quality": 95} if kind == "JPEG" else {}))
    return out.getvalue()


def pillow(image: Pillow.Image, kind: str, **options: object) -> bytes:
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it is of any size, with a few bytes of pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def jpeg_header(width: int, height: int) -> bytes:
    small = bytearray(jpeg(retina(64, 48)))
    at = small.index(b"\xff\xc0")
    small[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(small)


def dicom(image: NDArray[np.generic], *, photometric: str = "RGB", bits: int = 8, **changes: object) -> bytes:
    """An ophthalmic photograph of a named patient, uncompressed unless ``dicom_as`` compresses it."""
    return written(dataset(image, photometric=photometric, bits=bits, **changes))


def dataset(image: NDArray[np.generic], *, photometric: str = "RGB", bits: int = 8, **changes: object) -> Dataset:
    found = Dataset()
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found.file_meta.MediaStorageSOPClassUID = OphthalmicPhotography8BitImageStorage
    found.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    found.SOPClassUID = OphthalmicPhotography8BitImageStorage
    found.SOPInstanceUID = found.file_meta.MediaStorageSOPInstanceUID
    found.PatientName, found.PatientID = "Doe^Jane", "12345"
    found.Rows, found.Columns = image.shape[:2]
    found.SamplesPerPixel = image.shape[2] if image.ndim == 3 else 1
    if image.ndim == 3:
        found.PlanarConfiguration = 0
    found.PhotometricInterpretation = photometric
    found.BitsAllocated = 8 if bits <= 8 else 16
    found.BitsStored, found.HighBit, found.PixelRepresentation = bits, bits - 1, 0
    found.PixelData = image.astype(np.uint8 if bits <= 8 else np.uint16).tobytes()
    found["PixelData"].VR = "OB" if bits <= 8 else "OW"
    for name, value in changes.items():
        setattr(found, name, value)
    return found


def written(found: Dataset) -> bytes:
    out = BytesIO()
    found.save_as(out, enforce_file_format=True)
    return out.getvalue()
