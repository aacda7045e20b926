"""LitServe's verbs around ``clarity.inference``: setup and predict; decoding and encoding do nothing.

LitServe fails a whole batch where one item raises in those two (#340). Here a job comes in as it is, and each
photograph of a batch carries its own answer, or its own error, out.
"""

import logging
import signal
import time
from collections.abc import Sequence
from queue import Empty, Queue
from typing import Any

import litserve
from litserve.loops.simple_loops import BatchedLoop

from clarity.errors import ClarityError
from clarity.inference.grader import Graded, Grader
from serving import orphans
from serving.reply import Drawing, Job, Reply, Result, draw
from serving.source import Source

log = logging.getLogger("clarity.serving")
_STORED = Drawing()
"""What the object store keeps: the predicted grade, as PNG."""


class GradingAPI(litserve.LitAPI):  # type: ignore[misc]  # litserve ships no types
    """Grades photographs in a worker process of its own, which imports neither torch nor MLflow."""

    def __init__(self, source: Source, *, overlay_size: int, max_batch_size: int, batch_timeout: float) -> None:
        super().__init__(max_batch_size=max_batch_size, batch_timeout=batch_timeout, loop=DrainLoop())
        self.source = source
        self.overlay_size = overlay_size

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe's signature
        """Load the model. Where there is none, the worker still starts, and answers with the reason."""
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
        # Ctrl-C reaches every process of a terminal; the server stops the worker once it has answered what it took.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        orphans.end_with_parent()
        self.grader: Grader | None = None
        self.refusal: ClarityError | None = None
        try:
            self.grader = self.source.load(apart=True)
        except ClarityError as error:
            self.refusal = error
            log.warning("no model: %s: %s", type(error).__name__, error)
        else:
            log.info("serving %s version %s", self.grader.bundle.spec.name, self.grader.model_version)

    def batch(self, inputs: Sequence[Job]) -> Sequence[Job]:
        """A batch of jobs is a list of them."""
        return inputs

    def predict(self, x: Sequence[Job]) -> list[list[Result] | ClarityError]:
        """For each job a result for each of its photographs, or the named error that is all its answer."""
        grader = self.grader
        if grader is None:
            return [self.refusal or ClarityError("model: not loaded")] * len(x)
        started = time.monotonic()
        graded = iter(grader.grade([data for job in x for data in job.photographs]))
        took = time.monotonic() - started
        return [[self._result(grader, next(graded), job, started, took) for _ in job.photographs] for job in x]

    def _result(self, grader: Grader, graded: Graded | ClarityError, job: Job, started: float, took: float) -> Result:
        if isinstance(graded, ClarityError):
            return graded
        try:
            begun = time.monotonic()
            drawn = draw(graded, self.overlay_size, job.drawing)
            kept = None
            if job.keep:
                kept = drawn if job.drawing == _STORED else draw(graded, self.overlay_size, _STORED)
            return Reply.of(
                graded,
                grader.bundle.spec,
                grader.model_version,
                drawn=drawn,
                overlay=kept.data if kept else None,
                queue_ms=max(0.0, started - job.queued_at) * 1e3,
                grade_ms=took * 1e3,
                heatmap_ms=(time.monotonic() - begun) * 1e3,
            )
        except ClarityError as error:
            return error


class DrainLoop(BatchedLoop):  # type: ignore[misc]  # litserve ships no types
    """Batches what is waiting, and never makes a lone request wait for company.

    LitServe's own loop holds every request for the batch timeout, and asks its queue a thousand times a second while
    there is none. Jobs past their deadline are dropped: their callers have been answered.
    """

    def get_batch_requests(
        self,
        lit_api: litserve.LitAPI,
        request_queue: "Queue[Any]",
        transport: object,  # noqa: ARG002 - LitServe's signature
    ) -> tuple[list[tuple[int, str, Job]], list[tuple[int, str]]]:
        """(response queue, request id, job) of one batch; and those of them that came too late."""
        try:
            taken = [request_queue.get(timeout=1.0)]
        except Empty:
            return [], []
        until = time.monotonic() + lit_api.batch_timeout
        while sum(len(job.photographs) for *_, job in taken) < lit_api.max_batch_size:
            patience = max(0.0, until - time.monotonic()) if len(taken) > 1 else 0.0
            try:
                taken.append(request_queue.get(timeout=patience) if patience else request_queue.get_nowait())
            except Empty:
                break
        now = time.monotonic()
        fresh = [(to, uid, job) for to, uid, _, job in taken if now <= job.deadline]
        late = [(to, uid) for to, uid, _, job in taken if now > job.deadline]
        return fresh, late
