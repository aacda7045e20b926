"""A photograph's bytes to the network's tensor: Clarity's one path against the usual few lines of OpenCV, on one core.

The usual way decodes all, takes the bright bounding box, and finds no circle and judges no quality. Ours does both.
"""

import functools
import statistics
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from clarity.bench import paths
from clarity.bench.conf import pipeline
from clarity.bench.rows import Row, interleaved
from clarity.data import phantoms
from clarity.data.phantoms.writing import encode
from clarity.errors import UnreadableImage
from clarity.imaging import decode, header, prepare, prepare_image, to_tensor
from clarity.imaging.tensor import MEAN, STD
from clarity.imaging.threads import calling_thread_alone
from clarity.inference.bundle import Bundle
from clarity.records import Eye, Image, Tensor

IMAGING, QUALITY = pipeline().imaging, pipeline().quality
_LARGE, _ONE = (10.0, 16.5), (0.8, 1.2)
"""Megapixels."""
_MOST = 8
_NEAR = 2.0
"""Grey levels that our prepared image may be from that of the photograph decoded in full, in the mean."""
_DARK = 10
"""The usual bounding box holds what is brighter."""


def rows(images: Path | None, repeats: int, bundle: Path | None = None) -> list[Row]:
    """``imaging.large`` (10 to 16 megapixels) and ``imaging.one_megapixel``: how many times faster than the usual way.

    On JPEGs of these sizes below ``images``, at most eight of each; without them on phantoms drawn for it. Raises
    ValueError where the two sides' tensors differ in shape, or ours are, in the mean, two grey levels or more from
    their own full decode.

    ``imaging.apart.224`` and ``.384``, over all JPEGs of the folder: grey levels from the full decode; with the
    directory of a ``bundle`` also ``imaging.same_grades``.
    """
    every, origin = _every(images)
    with calling_thread_alone():
        found = [
            _row("imaging.large", 4.0, repeats, *large(images, _MOST)),
            _row("imaging.one_megapixel", 1.5, repeats, *_photographs(images, _ONE, height=960, most=_MOST)),
            *paths.apart(every, IMAGING, QUALITY, origin),
        ]
    return [*found, paths.same_grades(every, Bundle.load(bundle), origin)] if bundle else found


def usual_image(data: bytes, size: int = IMAGING.size) -> Image:
    """JPEG bytes to (size, size, 3) uint8 RGB as usually written: decode all, crop to what is bright, resize, CLAHE."""
    image = cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    bright = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) > _DARK
    down, across = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
    if len(down):
        image = image[down[0] : down[-1] + 1, across[0] : across[-1] + 1]
    image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    lab[:, :, 0] = cv2.createCLAHE(IMAGING.clahe_clip_limit, (IMAGING.clahe_tiles,) * 2).apply(lab[:, :, 0])
    equalised: Image = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
    return equalised


def usual_tensor(image: Image) -> Tensor:
    """(S, S, 3) uint8 to (1, 3, S, S) float32 as usually written."""
    scaled = (image.astype(np.float32) / np.float32(255) - MEAN) / STD
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])


def usual(data: bytes) -> Tensor:
    """Both."""
    return usual_tensor(usual_image(data))


def ours(data: bytes) -> Tensor:
    """Bytes to (1, 3, size, size) float32 by ``clarity.imaging``."""
    return to_tensor(prepare(data, IMAGING, QUALITY).image)


def _row(name: str, target: float, repeats: int, photographs: list[bytes], origin: str) -> Row:
    apart = statistics.fmean(_apart(data) for data in photographs)
    if apart >= _NEAR:
        raise ValueError(f"{name}: {apart:.2f} grey levels from the full decode of {len(photographs)} photographs")
    seconds = interleaved({"usual": _over(usual, photographs), "ours": _over(ours, photographs)}, repeats)
    each = {side: 1000 * value / len(photographs) for side, value in seconds.items()}
    heads = [header.read(data) for data in photographs]
    return Row(name, each["usual"] / each["ours"], "x", target, detail={
        "usual_ms": round(each["usual"], 2),
        "ours_ms": round(each["ours"], 2),
        "megapixels": round(sum(head.width * head.height for head in heads) / len(heads) / 1e6, 2),
        "photographs": len(photographs),
        "origin": origin,
        "grey_levels_from_full_decode": round(apart, 3),
    })  # fmt: skip


def _over(side: Callable[[bytes], Tensor], photographs: list[bytes]) -> Callable[[], None]:
    def run() -> None:
        for data in photographs:
            side(data)

    return run


def _apart(data: bytes) -> float:
    """Grey levels between our prepared image and that of the full decode, in the mean. Raises ValueError."""
    if usual(data).shape != ours(data).shape:
        raise ValueError(f"tensors {usual(data).shape} and {ours(data).shape}: not the same work")
    full = prepare_image(decode(data, IMAGING), IMAGING, QUALITY).image
    return float(np.abs(prepare(data, IMAGING, QUALITY).image.astype(np.float32) - full).mean())


def _every(folder: Path | None) -> tuple[paths.Photographs, str]:
    """All JPEGs below a folder; without it phantoms of both sizes."""
    files = _jpegs(folder)
    if folder and files:
        return lambda: (path.read_bytes() for path in files), folder.name
    drawn = [data for height in (3200, 960) for data in _drawn(height)]
    return lambda: drawn, "phantoms"


def _photographs(
    folder: Path | None, megapixels: tuple[float, float], *, height: int, most: int = _MOST
) -> tuple[list[bytes], str]:
    found: list[bytes] = []
    for path in _jpegs(folder):
        data = path.read_bytes()
        if len(found) < most and _within(data, megapixels):
            found.append(data)
    if folder and found:
        return found, folder.name
    return _drawn(height, most), "phantoms"


def large(folder: Path | None, most: int) -> tuple[list[bytes], str]:
    """At most ``most`` JPEGs of 10 to 16 megapixels and where they are from; eight phantoms where there are none."""
    return _photographs(folder, _LARGE, height=3200, most=most)


def _jpegs(folder: Path | None) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg")) if folder else []


@functools.cache
def _drawn(height: int, number: int = 2) -> list[bytes]:
    """At most eight: one of full size takes seconds."""
    seeds = range(1, min(number, _MOST) + 1)
    return [encode(phantoms.draw(seed, 2, size=height, eye=Eye.LEFT).image) for seed in seeds]


def _within(data: bytes, megapixels: tuple[float, float]) -> bool:
    try:
        head = header.read(data)
    except UnreadableImage:
        return False
    return megapixels[0] <= head.width * head.height / 1e6 <= megapixels[1]
