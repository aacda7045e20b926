"""Numbers inside a picture's file: a private chunk that viewers pass over, in PNG and in WebP.

Sources: PNG (RFC 2083, section 3.3: ``caMP`` is ancillary, private and unsafe to copy to changed pixels); the WebP
container specification (unknown chunks stand at the end of the extended form, after VP8X and the picture).
"""

import struct
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from clarity.errors import InferenceError

_CHUNK = b"caMP"
_PNG, _PNG_HEAD = b"\x89PNG\r\n\x1a\n", 33
"""Signature and IHDR, which has to come first."""
_RIFF_HEAD = 12
_SHAPE = ">HHH"


def put(data: bytes, maps: NDArray[np.float32]) -> bytes:
    """The file with (n, h, w) numbers in it, as float16; its pixels are the same.

    Raises InferenceError where they are not finite as float16, or the file is neither PNG nor WebP.
    """
    with np.errstate(over="ignore"):
        halves = maps.astype(">f2")
    if maps.ndim != 3 or not np.isfinite(halves).all():
        raise InferenceError(f"maps {maps.shape}: not three axes of numbers that float16 can hold")
    body = struct.pack(_SHAPE, *maps.shape) + halves.tobytes()
    if data.startswith(_PNG):
        chunk = struct.pack(">I", len(body)) + _CHUNK + body + struct.pack(">I", zlib.crc32(_CHUNK + body))
        return data[:_PNG_HEAD] + chunk + data[_PNG_HEAD:]
    if _is_webp(data):
        chunks = _extended(data) + _CHUNK + struct.pack("<I", len(body)) + body  # of even length: nothing to pad
        return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks
    raise InferenceError(f"picture of {len(data)} bytes: neither PNG nor WebP, it cannot carry its numbers")


def get(data: bytes) -> NDArray[np.float32]:
    """The (n, h, w) float32 numbers of a file. Raises InferenceError where it carries none, or is damaged."""
    try:
        body = next((body for kind, body in _chunks(data) if kind == _CHUNK), None)
        if body is None:
            raise InferenceError(f"picture of {len(data)} bytes: carries no numbers of a heatmap")
        shape = struct.unpack_from(_SHAPE, body)
        return np.frombuffer(body, ">f2", offset=struct.calcsize(_SHAPE)).astype(np.float32).reshape(shape)
    except (struct.error, ValueError):
        raise InferenceError(f"picture of {len(data)} bytes: damaged, its numbers cannot be read") from None


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each chunk of a PNG or WebP; of another file none."""
    if data.startswith(_PNG):
        at = len(_PNG)
        while at < len(data):
            size, kind = struct.unpack_from(">I4s", data, at)
            body = data[at + 8 : at + 8 + size]
            if kind == _CHUNK and struct.unpack_from(">I", data, at + 8 + size)[0] != zlib.crc32(kind + body):
                raise ValueError("checksum")
            yield kind, body
            at += 12 + size
    elif _is_webp(data):
        at = _RIFF_HEAD
        while at < len(data):
            kind, size = struct.unpack_from("<4sI", data, at)
            yield kind, data[at + 8 : at + 8 + size]
            at += 8 + size + size % 2


def _is_webp(data: bytes) -> bool:
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def _extended(data: bytes) -> bytes:
    """The chunks of a lossy still picture in the form that may hold others: VP8X with its size comes first."""
    kind, body = next(_chunks(data))
    if kind != b"VP8 ":
        raise InferenceError(f"picture of {len(data)} bytes: a WebP of {kind!r}, not a lossy still picture")
    width, height = (value & 0x3FFF for value in struct.unpack_from("<HH", body, 6))
    canvas: bytes = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"VP8X" + struct.pack("<II", 10, 0) + canvas + data[_RIFF_HEAD:]
