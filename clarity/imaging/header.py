"""What an image file says of itself before a pixel is decoded: format, size, orientation, completeness.

Reads the container's first fields only, so that a 50,000 x 50,000 bomb costs nothing and a truncated file is refused
here rather than decoded into half a photograph. Sources: PNG (RFC 2083), JPEG (ITU T.81), TIFF 6.0, the WebP container
specification, BITMAPINFOHEADER, EXIF 2.32 (orientation is tag 274).
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from clarity.errors import UnreadableImage
from clarity.imaging import tiff

PNG = b"\x89PNG\r\n\x1a\n"
_JPEG_FRAMES = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}  # F7 is JPEG-LS, inside DICOM
_BITFIELDS, _ALPHA_BITFIELDS = 3, 6
"""BMP's compressions whose pixels are taken apart by masks."""
_JPEG_BARE = frozenset(range(0xD0, 0xD8)) | {0x01}


@dataclass(frozen=True, slots=True)
class Header:
    """A file's own account of itself; ``width`` and ``height`` are before orientation is applied."""

    format: str
    """"jpeg", "png", "tiff", "bmp" or "webp"."""
    width: int
    height: int
    orientation: int = 1
    """EXIF's 1 to 8."""
    components: int = 3
    """Colour components of a JPEG (1, 3 or 4 = CMYK); 3 otherwise."""
    inverted: bool = False
    """CMYK JPEG with Adobe's inverted ink values, or TIFF whose zero is white."""
    alpha: bool = True
    """Whether a fourth sample, if there is one, is transparency; padding otherwise."""


def read(data: bytes) -> Header:
    """Format and size of an encoded image, from its header alone.

    Raises UnreadableImage: not one of the five formats, or its header is damaged, or the file ends before its own
    structure says.
    """
    if not data:
        raise UnreadableImage("image: 0 bytes, nothing to decode")
    for magic, parse in _FORMATS:
        if data.startswith(magic):
            try:
                header = parse(data)
            except (struct.error, IndexError, ValueError, OverflowError) as error:
                raise UnreadableImage(f"image: {len(data)} bytes, header damaged or truncated ({error})") from None
            if header.width < 1 or header.height < 1:
                raise UnreadableImage(f"image: {header.width} x {header.height} pixels, empty")
            return header
    raise UnreadableImage(f"image: {len(data)} bytes, not a JPEG, PNG, TIFF, BMP, WebP or DICOM file")


def _png(data: bytes) -> Header:
    width, height = struct.unpack_from(">II", data, 16)
    if data[12:16] != b"IHDR" or zlib.crc32(data[12:29]) != struct.unpack_from(">I", data, 29)[0]:
        raise ValueError("PNG without a sound IHDR")
    orientation = 1
    for kind, start, length in _png_chunks(data):
        if kind == b"eXIf":
            orientation = tiff.orientation(data[start : start + length])
        if kind == b"IEND":
            break
    return Header("png", width, height, orientation)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    at = len(PNG)
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        yield kind, at + 8, length
        at += 12 + length


def _jpeg(data: bytes) -> Header:
    orientation: int | None = None  # of several, the first counts, as everywhere else
    inverted = False
    for marker, start, length in _jpeg_segments(data):
        if marker == 0xE1 and data[start : start + 6] == b"Exif\0\0" and orientation is None:
            orientation = tiff.orientation(data[start + 6 : start + length])
        elif marker == 0xEE and data[start : start + 5] == b"Adobe":
            inverted = True
        elif marker in _JPEG_FRAMES:
            height, width, components = struct.unpack_from(">HHB", data, start + 1)
            return Header("jpeg", width, height, orientation or 1, components, inverted)
    raise ValueError("JPEG without a frame")


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    at = 2
    while at < len(data):
        if data[at] != 0xFF:
            raise ValueError("JPEG segment without a marker")
        marker = data[at + 1]
        if marker == 0xFF or marker in _JPEG_BARE:
            at += 1 if marker == 0xFF else 2
            continue
        length = struct.unpack_from(">H", data, at + 2)[0]
        yield marker, at + 4, length - 2
        at += 2 + max(length, 2)


def _webp(data: bytes) -> Header:
    size = struct.unpack_from("<I", data, 4)[0]
    if data[8:12] != b"WEBP" or size + 8 > len(data):
        raise ValueError("not WebP, or shorter than it says")
    width = height = 0
    orientation, at = 1, 12
    while at + 8 <= size + 8:
        kind, length = struct.unpack_from("<4sI", data, at)
        body = data[at + 8 : at + 8 + length]
        if kind == b"EXIF":
            orientation = tiff.orientation(body.removeprefix(b"Exif\0\0"))
        elif kind in _WEBP_SIZES:
            found = _WEBP_SIZES[kind](body)
            width, height = max(width, found[0]), max(height, found[1])
        at += 8 + length + length % 2
    return Header("webp", width, height, orientation)


def _vp8x(body: bytes) -> tuple[int, int]:
    return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")


def _vp8(body: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", body, 6)
    return width & 0x3FFF, height & 0x3FFF


def _vp8l(body: bytes) -> tuple[int, int]:
    bits = struct.unpack_from("<I", body, 1)[0]
    return 1 + (bits & 0x3FFF), 1 + ((bits >> 14) & 0x3FFF)


_WEBP_SIZES = {b"VP8X": _vp8x, b"VP8 ": _vp8, b"VP8L": _vp8l}


def _bmp(data: bytes) -> Header:
    start, size = struct.unpack_from("<I", data, 10)[0], struct.unpack_from("<I", data, 14)[0]
    if size == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    width, height = abs(width), abs(height)
    row = (width * bits + 31) // 32 * 4
    if compression in (0, 3) and width * height < 1 << 28 and start + row * height > len(data):
        raise ValueError("BMP ends before its last row")
    masked = (size >= 56 and compression == _BITFIELDS) or (size >= 40 and compression == _ALPHA_BITFIELDS)
    alpha = masked and struct.unpack_from("<I", data, 66)[0] != 0
    return Header("bmp", width, height, alpha=alpha)


def _tiff(data: bytes) -> Header:
    page = tiff.read(data)
    return Header("tiff", page.width, page.height, page.orientation, inverted=page.white_is_zero, alpha=page.alpha)


_FORMATS = (
    (PNG, _png),
    (b"\xff\xd8\xff", _jpeg),
    (b"RIFF", _webp),
    (b"BM", _bmp),
    (b"II*\0", _tiff),
    (b"MM\0*", _tiff),
)
