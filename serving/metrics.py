"""Prometheus: what this service counts, over all of its processes. No label ever says anything of a patient.

prometheus_client decides on its import whether it counts for one process or for many, by PROMETHEUS_MULTIPROC_DIR; so
it is imported at first use, which is after ``serving.app.main`` has set that.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from time import monotonic
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
    from prometheus_client.core import Metric

    from serving.reply import Reply
    from serving.state import Board

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
Step = Literal["queue", "grade", "heatmap", "store", "total"]
_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2, 5, 10, 30)


def took(step: Step, seconds: float) -> None:
    """A step of one request, or of one photograph."""
    _instruments().seconds.labels(step).observe(seconds)


@contextmanager
def timed(step: Step) -> Iterator[None]:
    """The same for a block that succeeds."""
    begun = monotonic()
    yield
    took(step, monotonic() - begun)


def answered(reply: "Reply") -> None:
    """One photograph's result: its outcome and the time of its steps."""
    outcome = "ungradable" if reply.prediction is None else f"grade {reply.prediction.grade}"
    _instruments().outcomes.labels(outcome, reply.version).inc()
    for step, ms in (("queue", reply.queue_ms), ("grade", reply.grade_ms), ("heatmap", reply.heatmap_ms)):
        took(step, ms / 1e3)  # type: ignore[arg-type]  # of the literal


def refused(code: str) -> None:
    """A request that ended as a problem, by its stable code."""
    _instruments().refusals.labels(code).inc()


def batch(photographs: int) -> None:
    """A batch that a worker grades at once."""
    _instruments().batches.observe(photographs)


def waiting(photographs: int) -> None:
    """How many this process holds: in its own queue and handed over."""
    _instruments().waiting.set(photographs)


def worker_lost(pid: int) -> None:
    """A worker died: what it counted stays, what it measured goes."""
    _instruments().lost.inc()
    if FOLDER in os.environ:
        from prometheus_client import multiprocess

        multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]


def text(board: "Board") -> tuple[bytes, str]:
    """Everything, of all processes, and its content type."""
    from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest, multiprocess

    _instruments()
    registry = CollectorRegistry() if FOLDER in os.environ else REGISTRY
    if FOLDER in os.environ:
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    models = CollectorRegistry()
    models.register(_Models(board))
    return generate_latest(registry) + generate_latest(models), CONTENT_TYPE_LATEST


class _Models:
    """Which model each worker serves, as it says itself at the moment of asking."""

    def __init__(self, board: "Board") -> None:
        self._board = board

    def collect(self) -> "Iterable[Metric]":
        """One family of generations, by worker and version."""
        from prometheus_client.core import GaugeMetricFamily

        labels = ["worker", "model", "version", "precision"]
        family = GaugeMetricFamily("clarity_model_generation", "Models put into service so far.", labels=labels)
        refused = GaugeMetricFamily("clarity_model_refused", "1: the champion is refused.", labels=["worker"])
        for state in self._board.living():
            of = [str(state.worker), state.name, state.version or "", state.precision]
            family.add_metric(of, state.generation)
            refused.add_metric([str(state.worker)], float(bool(state.refused_version)))
        return [family, refused]


class _Instruments:
    seconds: "Histogram"
    batches: "Histogram"
    waiting: "Gauge"
    outcomes: "Counter"
    refusals: "Counter"
    lost: "Counter"

    def __init__(self, registry: "CollectorRegistry") -> None:
        from prometheus_client import Counter, Gauge, Histogram

        step = "Seconds by step of a prediction."
        self.seconds = Histogram("clarity_seconds", step, ["step"], buckets=_SECONDS, registry=registry)
        sizes = (1, 2, 4, 8, 16, 32)
        self.batches = Histogram("clarity_batch_size", "Photographs at once.", buckets=sizes, registry=registry)
        held = "Photographs that wait or are being graded."
        self.waiting = Gauge("clarity_waiting", held, multiprocess_mode="livesum", registry=registry)
        results = "Photographs by result and model version."
        self.outcomes = Counter("clarity_photographs", results, ["outcome", "model_version"], registry=registry)
        self.refusals = Counter("clarity_refusals", "Problems answered, by code.", ["code"], registry=registry)
        self.lost = Counter("clarity_workers_lost", "Inference workers that died.", registry=registry)


@cache
def _instruments() -> _Instruments:
    from prometheus_client import REGISTRY

    return _Instruments(REGISTRY)
