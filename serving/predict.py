"""LitServe's verbs around ``clarity.inference``: setup and predict; decoding and encoding do nothing.

LitServe fails a whole batch where one item raises in those two (#340). Here a photograph's bytes come in as they are,
and each item of a batch carries its own answer, or its own error, out.
"""

import logging
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from queue import Empty, Queue
from typing import Any

import litserve
from litserve.loops.simple_loops import BatchedLoop

from clarity.errors import ClarityError
from clarity.inference.grader import Graded, Grader
from serving import orphans
from serving.schemas import Answer, Drawing, Timing, draw
from serving.source import Source

log = logging.getLogger("clarity.serving")


@dataclass(frozen=True, slots=True)
class Photograph:
    """What an HTTP process puts into the queue."""

    data: bytes
    queued_at: float
    """time.monotonic(), which all processes of a machine share."""
    drawing: Drawing


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

    def batch(self, inputs: Sequence[Photograph]) -> Sequence[Photograph]:
        """A batch of photographs is a list of them."""
        return inputs

    def predict(self, x: Sequence[Photograph]) -> list[bytes | ClarityError]:
        """An encoded Answer, or a named error, for each photograph."""
        if self.grader is None:
            return [self.refusal or ClarityError("model: not loaded")] * len(x)
        started = time.monotonic()
        graded = self.grader.grade([item.data for item in x])
        took = time.monotonic() - started
        return [self._answer(one, item, started, took) for one, item in zip(graded, x, strict=True)]

    def _answer(
        self, graded: Graded | ClarityError, item: Photograph, started: float, took: float
    ) -> bytes | ClarityError:
        if isinstance(graded, ClarityError) or self.grader is None:
            return graded if isinstance(graded, ClarityError) else ClarityError("model: not loaded")
        try:
            begun = time.monotonic()
            drawn = draw(graded, self.overlay_size, item.drawing)
            timing = Timing(
                queue=round(max(0.0, started - item.queued_at) * 1e3, 1),
                grade=round(took * 1e3, 1),
                heatmap=round((time.monotonic() - begun) * 1e3, 1),
            )
            version = self.grader.model_version
            answer = Answer.of(graded, self.grader.bundle.spec, model_version=version, drawn=drawn, timing=timing)
        except ClarityError as error:
            return error
        return answer.model_dump_json().encode()


class DrainLoop(BatchedLoop):  # type: ignore[misc]  # litserve ships no types
    """Batches what is waiting, and never makes a lone request wait for company.

    LitServe's own loop holds every request for the batch timeout, and asks its queue a thousand times a second while
    there is none. Requests past the server's deadline are dropped: their callers have been answered. Where a worker is
    killed, the queue may still give it one request: that one's caller is answered at the deadline.
    """

    def get_batch_requests(
        self,
        lit_api: litserve.LitAPI,
        request_queue: "Queue[Any]",
        transport: object,  # noqa: ARG002 - LitServe's signature
    ) -> tuple[list[tuple[int, str, Photograph]], list[tuple[int, str]]]:
        """(response queue, request id, photograph) of one batch; and those of them that came too late."""
        try:
            taken = [request_queue.get(timeout=1.0)]
        except Empty:
            return [], []
        until = time.monotonic() + lit_api.batch_timeout
        while len(taken) < lit_api.max_batch_size:
            patience = max(0.0, until - time.monotonic()) if len(taken) > 1 else 0.0
            try:
                taken.append(request_queue.get(timeout=patience) if patience else request_queue.get_nowait())
            except Empty:
                break
        now = time.monotonic()
        fresh = [(to, uid, item) for to, uid, at, item in taken if now - at <= lit_api.request_timeout]
        late = [(to, uid) for to, uid, at, _ in taken if now - at > lit_api.request_timeout]
        return fresh, late
