"""How near this machine comes to a million captures of full size in a night of eight hours, and what bounds it."""

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from clarity.bench import imaging
from clarity.bench.conf import pipeline
from clarity.bench.lane import Lane, alone
from clarity.bench.night import night
from clarity.bench.rows import Row
from clarity.errors import InferenceError
from clarity.imaging import prepare, to_tensor
from clarity.imaging.threads import calling_thread_alone
from clarity.inference import heatmap
from clarity.inference.bundle import Bundle
from clarity.inference.engine import Engine
from clarity.inference.grader import Graded, Grader
from clarity.inference.processor import Precision, cores

A_MILLION_A_NIGHT = 1_000_000 / (8 * 3600)
"""Captures a second."""
_NUMBER, _MOST = 48, 3


def rows(bundle: Bundle, precision: Precision, images: Path | None, repeats: int) -> list[Row]:
    """``screening.night``: captures a second of 10 to 16 megapixels, from S3 to row and overlay as a night writes them.

    The detail says the share of a million a night, the CPU milliseconds of each step of one capture, and the largest.
    """
    size = pipeline().screening.overlay_size
    every, origin = imaging.large(images, _NUMBER)
    data = _gradable(bundle, every, origin)
    with night(data) as place:
        lane = Lane.of(place, bundle, precision, size)
        if (batch := lane.run()).scored != len(data):
            raise InferenceError(f"screening of full size: {batch}, {len(data)} captures")
        seconds = statistics.median(_spent(time.perf_counter, lane.run) for _ in range(min(repeats, _MOST)))
        own, servers = alone(place, bundle, precision, size)
    steps = _steps(bundle, precision, data, size)
    steps["rest_ms"] = max(0.0, 1000 * own / len(data) - sum(steps.values()))
    steps["servers_ms"] = 1000 * servers / len(data)
    rate = len(data) / seconds
    said: dict[str, float | str] = {
        "share_of_a_million": rate / A_MILLION_A_NIGHT,
        **steps,
        "bound_by": max(steps, key=steps.__getitem__).removesuffix("_ms"),
        "at_full_cores": 1000 * cores() / sum(steps.values()),
        "overlay_px": str(size),
        "captures": float(len(data)),
        "precision": precision,
        "origin": origin,
    }
    return [Row("screening.night", rate, "1/s", None, detail=said)]


def _gradable(bundle: Bundle, data: Sequence[bytes], origin: str) -> list[bytes]:
    """What costs all that a capture costs. Raises InferenceError where there is none."""
    spec = bundle.spec
    found = [one for one in data if prepare(one, spec.imaging, spec.quality).quality.gradable]
    if not found:
        raise InferenceError(f"screening of full size: none of {len(data)} photographs from {origin} is gradable")
    return found


def _steps(bundle: Bundle, precision: Precision, data: Sequence[bytes], size: int) -> dict[str, float]:
    """CPU milliseconds a capture of what Clarity computes, each step by one thread."""
    spec = bundle.spec
    engine = Engine.load(bundle, precision=precision, threads=1)
    with calling_thread_alone(), Grader(bundle, engine, "bench", jobs=1) as grader:
        prepared = [prepare(one, spec.imaging, spec.quality) for one in data]
        tensor = to_tensor(np.stack([one.image for one in prepared]))
        engine.run(tensor)
        graded = [one for one in grader.infer(prepared) if isinstance(one, Graded)]
        work: dict[str, Callable[[], object]] = {
            "prepare_ms": lambda: [prepare(one, spec.imaging, spec.quality) for one in data],
            "network_ms": lambda: engine.run(tensor),
            "overlay_ms": lambda: [_overlay(one, size) for one in graded],
        }
        return {name: 1000 * _spent(time.process_time, step) / len(data) for name, step in work.items()}


def _overlay(graded: Graded, size: int) -> bytes:
    picture = graded.overlay(size)
    if picture is None:
        raise InferenceError("overlay of full size: ungradable, it draws nothing")
    return heatmap.encode(picture, maps=graded.maps)


def _spent(clock: Callable[[], float], step: Callable[[], object]) -> float:
    start = clock()
    step()
    return clock() - start
