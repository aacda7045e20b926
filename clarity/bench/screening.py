"""A capture's way from the object store to its row and its overlay, against the same loop as it is usually written."""

import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from clarity.bench import capacity, usual
from clarity.bench import network as nets
from clarity.bench.lane import Lane, alone
from clarity.bench.night import Night, night, photographs
from clarity.bench.rows import Row, interleaved
from clarity.errors import InferenceError
from clarity.inference import processor
from clarity.inference.bundle import Bundle
from clarity.inference.processor import Precision, cores

_NUMBER, _MOST, _CALIBRATION = 64, 5, 32
_OVERLAY = 224
"""Pixels: of the size that the usual loop draws, so that both sides store the same."""
_TARGETS: dict[Precision, float] = {"bf16": 6.0, "int8": 10.0}
_BUSY = 0.80


def rows(images: Path | None, repeats: int) -> list[Row]:
    """``screening.bf16``, ``screening.int8`` (times faster, an image), ``screening.busy`` (share of the cores), and
    ``screening.night`` (captures of full size a second). A processor with neither precision shows ``screening.fp32``.

    JPEG in S3 -> prediction row in PostgreSQL and overlay in S3: ResNet-50, 224 px, real servers on this machine. The
    usual loop: one image at a time, boto3, OpenCV, torchvision with pytorch-grad-cam, one INSERT.
    """
    torch.set_num_threads(cores())
    data, model = photographs(images, _NUMBER), nets.resnet()
    with tempfile.TemporaryDirectory(prefix="clarity-bench-") as folder:
        bundle = nets.draft(model, nets.photographs(_CALIBRATION), Path(folder))
        with night(data) as place:
            lanes = {name: Lane.of(place, bundle, name, _OVERLAY) for name in precisions(processor.here())}
            loop = usual.Loop(place, nets.torchvisions(model))
            _check(lanes, loop)
            sides: dict[str, Any] = {name: lane.run for name, lane in lanes.items()}
            seconds = interleaved(sides | {"usual": loop.run}, min(repeats, _MOST))
            fastest = min(lanes, key=seconds.__getitem__)
            found = [_row(name, seconds, len(data)) for name in lanes]
            found.append(_busy(place, bundle, fastest, seconds, len(data)))
        return found + capacity.rows(bundle, fastest, images, repeats)


def _check(lanes: dict[Precision, Lane], loop: usual.Loop) -> None:
    """Both sides end with a row and an overlay for every capture: an ungradable one would be less work for ours."""
    written = loop.run()
    for name, lane in lanes.items():
        batch = lane.run()
        if batch.scored != written:
            raise InferenceError(f"screening at {name}: {batch}, the usual loop wrote {written} rows")


def _row(name: Precision, seconds: dict[str, float], number: int) -> Row:
    ours, theirs = 1000 * seconds[name] / number, 1000 * seconds["usual"] / number
    detail = {"ours_ms": ours, "usual_ms": theirs, "images_a_second": 1000 / ours, "images": float(number)}
    return Row(f"screening.{name}", theirs / ours, "x", _TARGETS.get(name), detail=detail)


def precisions(native: Collection[Precision]) -> list[Precision]:
    """Of those with a target the native ones; float32 where the processor has neither."""
    return [name for name in _TARGETS if name in native] or ["fp32"]


def _busy(place: Night, bundle: Bundle, precision: Precision, seconds: dict[str, float], number: int) -> Row:
    """The CPU time of the same work done by one thread, one step after the other, over that of all cores in our run."""
    own, theirs = alone(place, bundle, precision, _OVERLAY)
    share = (own + theirs) / (seconds[precision] * cores())
    detail = {"own_cpu_ms": 1000 * own / number, "servers_cpu_ms": 1000 * theirs / number, "precision": precision}
    return Row("screening.busy", share, "share", _BUSY, detail=detail)
