"""The same work without the service: imaging, inference and overlay, called in a loop on the same cores."""

import itertools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from clarity.bench.conf import pipeline
from clarity.errors import ClarityError, InferenceError
from clarity.inference.bundle import Bundle
from clarity.inference.engine import Engine
from clarity.inference.grader import Graded, Grader
from clarity.inference.processor import cores
from serving.reply import Drawing, Drawn, draw

_SIZE, _DRAWING = pipeline().screening.overlay_size, Drawing()
_BATCH = pipeline().serving.max_batch_size
Work = Callable[[Sequence[bytes]], object]


def one(grader: Grader, photograph: bytes) -> tuple[Graded, Drawn]:
    """A photograph's grade and its encoded overlay. Raises InferenceError where it is ungradable, or its error."""
    (graded,) = grader.grade([photograph])
    return _drawn(graded)


def fastest(bundle: Bundle, photographs: Sequence[bytes], seconds: float) -> dict[str, float]:
    """Images a second of each way to do many, ``seconds`` in all: batches of the service's size, or one a core."""
    with ThreadPoolExecutor(cores()) as pool:
        latency = Grader(bundle, Engine.load(bundle), "alone")
        split = Grader(bundle, Engine.load(bundle, streams="throughput"), "alone")
        with latency, split:
            ways: dict[str, Work] = {
                "batches": lambda some: list(pool.map(_drawn, latency.grade(some))),
                "batches_split": lambda some: list(pool.map(_drawn, split.grade(some))),
                "one_a_core": lambda some: list(pool.map(lambda data: _drawn(*split.grade_here([data])), some)),
            }
            return {name: _rate(work, photographs, seconds / len(ways)) for name, work in ways.items()}


def _drawn(graded: Graded | ClarityError) -> tuple[Graded, Drawn]:
    if isinstance(graded, ClarityError):
        raise graded
    drawn = draw(graded, _SIZE, _DRAWING)
    if drawn is None:
        raise InferenceError("photograph of the bench: ungradable, so there is no overlay to time")
    return graded, drawn


def _rate(work: Work, photographs: Sequence[bytes], seconds: float) -> float:
    turns = itertools.cycle(photographs)
    work(list(itertools.islice(turns, _BATCH)))  # untimed
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        work(list(itertools.islice(turns, _BATCH)))
        done += _BATCH
    return done / (time.perf_counter() - began)
