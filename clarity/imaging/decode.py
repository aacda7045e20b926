"""Bytes to an oriented RGB array: the only way by which a photograph enters Clarity.

The header is judged before a pixel is decoded, so neither a bomb nor a text file named .jpg reaches a decoder. A file
that a decoder would complete with grey is refused. Nothing but pixels comes out: no EXIF, no dates, no GPS.
"""

import re
import struct
import sys
from collections.abc import Callable
from io import BytesIO
from typing import Any, cast

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from clarity.errors import ImageTooLarge, UnreadableImage
from clarity.imaging import header, tiff
from clarity.imaging.view import View, coarsest, full
from clarity.params import ImagingParams
from clarity.records import Image

_UNCHANGED = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
_HARMLESS = re.compile(r"\b\d extraneous bytes before marker 0xd9|Invalid SOS parameters")
"""libjpeg's complaints about files that some cameras write and whose pixels are whole: padding before the end, …"""
_COARSEST = 8
"""libjpeg-turbo scales by 2, 4 and 8 inside its DCT, with vector instructions; by 3/8, 5/8, … it is slower."""


def decode(data: bytes, params: ImagingParams) -> Image:
    """An encoded photograph at full size as (H, W, 3) uint8 RGB, EXIF orientation applied; see ``at_scale``."""
    return at_scale(data, params, least=sys.maxsize).image


def at_scale(data: bytes, params: ImagingParams, *, least: int) -> View:
    """An encoded photograph, EXIF orientation applied, no more of it decoded than needed.

    A JPEG is decoded at 1/8, 1/4 or 1/2 of its size where that leaves ``least`` pixels of its shorter side.

    JPEG, PNG, TIFF, BMP, WebP and DICOM; 8 or 16 bit, grey, palette, alpha (laid over black) and CMYK. 16-bit values
    are scaled by 255/65535. Raises UnreadableImage (empty, truncated, corrupted, or no image) and ImageTooLarge
    (more bytes or pixels than ``params`` admits, found before decoding).
    """
    if len(data) > params.max_bytes:
        raise ImageTooLarge(f"image: {len(data)} bytes, more than the {params.max_bytes} admitted")
    if data[128:132] == b"DICM":
        from clarity.imaging import dicom  # pydicom takes a while to import, and few captures need it

        return full(dicom.decode(data, params))
    head = header.read(data)
    check_pixels(head.width, head.height, params)
    factor = min(_COARSEST, coarsest(min(head.width, head.height), least)) if head.format == "jpeg" else 1
    pixels = _jpeg(data, head, factor) if head.format == "jpeg" else _DECODERS.get(head.format, _opencv)(data, head)
    said = (-(-head.height // factor), -(-head.width // factor))
    if pixels.shape[:2] != said:
        raise UnreadableImage(f"image: decodes to {pixels.shape[:2]}, its header says {said}")
    return _upright(to_rgb(pixels), head, factor)


def check_pixels(width: int, height: int, params: ImagingParams) -> None:
    """Raise ImageTooLarge where width x height is more than ``params.max_pixels``."""
    if width * height > params.max_pixels:
        raise ImageTooLarge(f"image: {width} x {height} pixels, more than the {params.max_pixels} admitted")


def to_rgb(pixels: NDArray[Any]) -> Image:
    """Grey, grey with alpha, RGB or RGBA of 8 or 16 bit as RGB uint8; alpha is laid over black."""
    if pixels.dtype == np.uint16:
        pixels = ((pixels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise UnreadableImage(f"image: {pixels.dtype} values, not 8 or 16 bit")
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    colour, alpha = pixels, None
    if pixels.shape[2] in (2, 4):
        colour, alpha = pixels[:, :, :-1], pixels[:, :, -1:]
    if colour.shape[2] == 1:
        colour = np.repeat(colour, 3, axis=2) if alpha is not None else cv2.merge([colour] * 3)
    if alpha is not None and not (alpha == 255).all():
        colour = (colour.astype(np.uint16) * alpha + 127) // 255
    return np.ascontiguousarray(colour, dtype=np.uint8)


def orient(image: Image, orientation: int) -> Image:
    """Apply an EXIF orientation (1 to 8): mirror and turn so that the photograph stands as it was taken."""
    if orientation in (5, 6, 7, 8):
        image = image.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)


def _upright(image: Image, head: header.Header, factor: int) -> View:
    image, turn = orient(image, head.orientation), head.orientation
    width, height = (head.height, head.width) if turn in (5, 6, 7, 8) else (head.width, head.height)
    left = width - image.shape[1] * factor if turn in (2, 3, 6, 7) else 0
    top = height - image.shape[0] * factor if turn in (3, 4, 7, 8) else 0
    return View(image, width, height, factor, left, top)


def _jpeg(data: bytes, head: header.Header, factor: int) -> NDArray[np.uint8]:
    space = {1: "GRAY", 3: "RGB", 4: "CMYK"}.get(head.components)
    if space is None:
        raise UnreadableImage(f"image: JPEG of {head.components} components, not grey, colour or CMYK")
    small = {"min_height": -(-head.height // factor), "min_width": -(-head.width // factor), "min_factor": factor}
    try:
        pixels = simplejpeg.decode_jpeg(data, colorspace=space, strict=True, **small)
    except ValueError as error:
        if not _HARMLESS.search(str(error)):
            raise UnreadableImage(f"image: {len(data)} bytes, a damaged JPEG ({error})") from None
        pixels = simplejpeg.decode_jpeg(data, colorspace=space, strict=False, **small)
    return _ink(pixels, inverted=head.inverted) if space == "CMYK" else pixels


def _ink(cmyk: NDArray[np.uint8], *, inverted: bool) -> NDArray[np.uint8]:
    light = cmyk if inverted else 255 - cmyk
    return cast(NDArray[np.uint8], (light[:, :, :3].astype(np.uint16) * light[:, :, 3:] // 255).astype(np.uint8))


def _tiff(data: bytes, head: header.Header) -> NDArray[np.uint8]:
    """OpenCV reads more kinds of TIFF than Pillow, but only Pillow says when a strip was damaged."""
    try:
        tiff.check(data, most=head.width * head.height * 8 + 65536)
        _pillow(data)
    except (ValueError, OSError, SyntaxError, struct.error) as error:
        raise UnreadableImage(f"image: {len(data)} bytes, a damaged TIFF ({error})") from None
    pixels = _opencv(tiff.upright(data), head)
    # libtiff turns those of 8 bits by itself
    return 65535 - pixels if head.inverted and pixels.dtype == np.uint16 else pixels


def _pillow(data: bytes) -> None:
    try:
        picture = Pillow.open(BytesIO(data), formats=["TIFF"])
    except (UnidentifiedImageError, Pillow.DecompressionBombError):
        return
    picture.load()


def _opencv(data: bytes, head: header.Header) -> NDArray[np.uint8]:
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), _UNCHANGED)
    except cv2.error as error:
        raise UnreadableImage(f"image: {len(data)} bytes, a damaged {head.format.upper()} ({error.err})") from None
    if pixels is None:
        raise UnreadableImage(f"image: {len(data)} bytes, a damaged {head.format.upper()}")
    if pixels.ndim == 3 and pixels.shape[2] >= 3:
        pixels[:, :, :3] = pixels[:, :, 2::-1].copy()
        pixels = pixels if head.alpha else pixels[:, :, :3]
    return cast(NDArray[np.uint8], pixels)


_DECODERS: dict[str, Callable[[bytes, header.Header], NDArray[np.uint8]]] = {"tiff": _tiff}
