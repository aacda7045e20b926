"""The first directory of a TIFF, which is also the shape of EXIF: size, orientation, and whether its data is all there.

Source: TIFF 6.0, sections 2 and 3. Nothing of EXIF but the orientation is ever read.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

_WIDTH, _HEIGHT, _COMPRESSION, _STRIP_OFFSETS, _ORIENTATION, _STRIP_COUNTS = 256, 257, 259, 273, 274, 279
_PHOTOMETRIC, _TILE_OFFSETS, _TILE_COUNTS, _EXTRA_SAMPLES = 262, 324, 325, 338
_WHITE_IS_ZERO, _UNASSOCIATED = 0, 2
_TYPES = {1: "B", 3: "H", 4: "I"}
_DEFLATE = (8, 32946)
_MOST_ENTRIES, _MOST_VALUES, _MOST_PAGES = 4096, 1 << 20, 64


@dataclass(frozen=True, slots=True)
class Page:
    """The first page of a TIFF file."""

    width: int
    height: int
    orientation: int
    white_is_zero: bool
    alpha: bool
    """Whether a fourth sample is transparency, by which colours are yet to be multiplied; so it is where none says."""


def read(data: bytes) -> Page:
    """What the first page says of itself.

    Raises ValueError or struct.error where it is damaged or cut short, or a later page is the larger picture: the first
    is a thumbnail then, and what is no photograph is not graded as one.
    """
    start, tags = _directory(data)
    width, height = tags.get(_WIDTH, [0])[0], tags.get(_HEIGHT, [0])[0]
    offsets = tags.get(_STRIP_OFFSETS) or tags.get(_TILE_OFFSETS) or []
    counts = tags.get(_STRIP_COUNTS) or tags.get(_TILE_COUNTS) or []
    strips = list(zip(offsets, counts, strict=False))
    if not strips or any(offset + count > len(data) for offset, count in strips):
        raise ValueError("TIFF ends before its last strip")
    for page, (across, down) in enumerate(_later(data, start), 2):
        if across * down > width * height:
            raise ValueError(f"TIFF whose page 1 of {width} x {height} is smaller than page {page}, {across} x {down}")
    inverted = tags.get(_PHOTOMETRIC, [1])[:1] == [_WHITE_IS_ZERO]
    alpha = tags.get(_EXTRA_SAMPLES, [_UNASSOCIATED])[:1] == [_UNASSOCIATED]
    return Page(width, height, _valid(tags.get(_ORIENTATION, [1])), inverted, alpha)


def check(data: bytes, most: int) -> None:
    """Raise ValueError where a deflated strip of the first page is corrupted or holds more than ``most`` bytes."""
    _, tags = _directory(data)
    if tags.get(_COMPRESSION, [1])[0] not in _DEFLATE:
        return
    offsets = tags.get(_STRIP_OFFSETS) or tags.get(_TILE_OFFSETS) or []
    counts = tags.get(_STRIP_COUNTS) or tags.get(_TILE_COUNTS) or []
    for offset, count in zip(offsets, counts, strict=False):
        stream = zlib.decompressobj()
        try:
            stream.decompress(data[offset : offset + count], most)
        except zlib.error as error:
            raise ValueError(f"TIFF strip at byte {offset}: {error}") from None
        if not stream.eof:
            raise ValueError(f"TIFF strip at byte {offset}: does not end")


def upright(data: bytes) -> bytes:
    """The same file saying orientation 1, because libtiff turns some kinds of pixels by itself and others not."""
    order = "<" if data[:2] == b"II" else ">"
    start = struct.unpack_from(order + "I", data, 4)[0]
    changed = bytearray(data)
    for at in range(start + 2, start + 2 + 12 * struct.unpack_from(order + "H", data, start)[0], 12):
        if struct.unpack_from(order + "HH", data, at) == (_ORIENTATION, 3):
            struct.pack_into(order + "H", changed, at + 8, 1)
    return bytes(changed)


def orientation(block: bytes) -> int:
    """EXIF orientation, 1 to 8, of a TIFF-shaped block; 1 where it says nothing readable."""
    try:
        return _valid(_directory(block)[1].get(_ORIENTATION, [1]))
    except (struct.error, ValueError, IndexError):
        return 1


def _valid(values: list[int]) -> int:
    return values[0] if values and 1 <= values[0] <= 8 else 1


def _directory(data: bytes, start: int = 0) -> tuple[int, dict[int, list[int]]]:
    """The directory at byte ``start``, 0 for the first, and where the offset of the next one stands."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        raise ValueError("no TIFF byte order")
    start = start or struct.unpack_from(order + "I", data, 4)[0]
    count = struct.unpack_from(order + "H", data, start)[0]
    if count > _MOST_ENTRIES:
        raise ValueError(f"TIFF directory of {count} entries")
    return start + 2 + 12 * count, dict(_entry(data, order, start + 2 + 12 * i) for i in range(count))


def _later(data: bytes, at: int) -> Iterator[tuple[int, int]]:
    """Width and height of the pages behind the first, as far as they can be read: of a damaged one nothing is shown."""
    order = "<" if data[:2] == b"II" else ">"
    for _ in range(_MOST_PAGES):
        try:
            following = struct.unpack_from(order + "I", data, at)[0]
            if not following:
                return
            at, tags = _directory(data, following)
        except (struct.error, ValueError):
            return
        yield tags.get(_WIDTH, [0])[0], tags.get(_HEIGHT, [0])[0]


def _entry(data: bytes, order: str, at: int) -> tuple[int, list[int]]:
    tag, kind, count = struct.unpack_from(order + "HHI", data, at)
    code = _TYPES.get(kind)
    if code is None or tag not in _WANTED or count > _MOST_VALUES:
        return tag, []
    width = struct.calcsize(order + code)
    where = at + 8 if count * width <= 4 else struct.unpack_from(order + "I", data, at + 8)[0]
    return tag, list(struct.unpack_from(f"{order}{count}{code}", data, where))


_WANTED = {_WIDTH, _HEIGHT, _COMPRESSION, _PHOTOMETRIC, _STRIP_OFFSETS, _ORIENTATION, _STRIP_COUNTS}
_WANTED |= {_TILE_OFFSETS, _TILE_COUNTS, _EXTRA_SAMPLES}
