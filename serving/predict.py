"""LitServe's verbs around ``clarity.inference``: setup and predict; decoding and encoding do nothing.

LitServe fails a whole batch where one item raises in those two (#340). Here a job comes in as it is, and each
photograph of a batch carries its own answer, or its own error, out.
"""

import logging
import os
import signal
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import litserve
from litserve.loops.simple_loops import BatchedLoop

from clarity.errors import ClarityError
from clarity.inference.grader import Graded, Grader
from clarity.inference.processor import cores
from serving import metrics, orphans
from serving.crates import CRATES, Answered, Crates
from serving.follow import Follower
from serving.reply import Drawing, Job, Reply, Result, draw
from serving.site import Site
from serving.source import Source
from serving.state import Board

_STORED = Drawing()
"""What the object store keeps: the predicted grade, as PNG."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A job that this worker has claimed."""

    name: str
    job: Job


class GradingAPI(litserve.LitAPI):  # type: ignore[misc]  # litserve ships no types
    """Grades photographs in a worker process of its own, which imports neither torch nor MLflow nor a database."""

    def __init__(self, source: Source, site: Site, run: Path) -> None:
        serving = site.params.serving
        super().__init__(max_batch_size=serving.max_batch_size, batch_timeout=serving.batch_timeout_s, loop=DrainLoop())
        self.source, self.site = source, site
        self.board, self.crates = Board(run), Crates(run / CRATES)

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe's signature
        """Begin to load the model. Where there is none, the worker runs all the same, and answers with the reason."""
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
        logging.getLogger("httpx").setLevel(logging.WARNING)  # which tells of every question to MLflow
        # Ctrl-C reaches every process of a terminal; the server stops the worker once it has answered what it took.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        orphans.end_with_parent()
        self.lanes = ThreadPoolExecutor(cores(), thread_name_prefix="draw")
        worker = int(os.environ.get("LITSERVE_WORKER_ID", "0"))
        self.follower = Follower(self.source, self.site, self.board, worker)
        self.follower.start()

    def batch(self, inputs: Sequence[Taken]) -> Sequence[Taken]:
        """A batch of jobs is a list of them."""
        return inputs

    def predict(self, x: Sequence[Taken]) -> list[None]:
        """Lay down, for each job, a result for each of its photographs, or the named error that is all its answer."""
        jobs = [taken.job for taken in x]
        metrics.batch(sum(len(job.photographs) for job in jobs))
        try:
            with self.follower.lease(max(job.deadline for job in jobs) - time.monotonic()) as grader:
                answered = self._graded(grader, jobs)
        except ClarityError as error:
            answered = [error] * len(jobs)
        for taken, one in zip(x, answered, strict=True):
            self.crates.answer(taken.name, one)
        return [None] * len(x)

    def _graded(self, grader: Grader, jobs: Sequence[Job]) -> Sequence[Answered]:
        started = time.monotonic()
        graded = grader.grade([data for job in jobs for data in job.photographs])
        took = time.monotonic() - started
        wanted = [job for job in jobs for _ in job.photographs]

        def result(one: Graded | ClarityError, job: Job) -> Result:
            return self._result(grader, one, job, started, took)

        # One photograph is drawn here: a lone caller waits for no other thread.
        results = iter([result(graded[0], wanted[0])] if len(graded) == 1 else self.lanes.map(result, graded, wanted))
        return [[next(results) for _ in job.photographs] for job in jobs]

    def _result(self, grader: Grader, graded: Graded | ClarityError, job: Job, started: float, took: float) -> Result:
        if isinstance(graded, ClarityError):
            return graded
        size = self.site.params.screening.overlay_size
        try:
            begun = time.monotonic()
            drawn = draw(graded, size, job.drawing)
            kept = None
            if job.keep:
                kept = drawn if job.drawing == _STORED else draw(graded, size, _STORED)
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
    there is none. A job that was taken back, whose caller has left or was refused, is not found and costs nothing.
    """

    def get_batch_requests(
        self,
        lit_api: GradingAPI,
        request_queue: "Queue[Any]",
        transport: object,  # noqa: ARG002 - LitServe's signature
    ) -> tuple[list[tuple[int, str, Taken]], list[tuple[int, str]]]:
        """(response queue, job's name, job) of one batch; of LitServe's timeouts none, as the desk has its own."""
        batch: list[tuple[int, str, Taken]] = []
        count, until = 0, 0.0
        while count < lit_api.max_batch_size:
            try:
                to, name, _, _ = request_queue.get(timeout=_patience(count, until))
            except Empty:
                break
            job = lit_api.crates.claim(name)
            if job is None:
                continue
            batch.append((to, name, Taken(name, job)))
            until = until or time.monotonic() + lit_api.batch_timeout
            count += len(job.photographs)
        return batch, []


def _patience(count: int, until: float) -> float:
    """How long the next job may take to come: for the first a second, for the second no time, then until the moment
    at which the batch is to begin.
    """
    if not count:
        return 1.0
    return max(0.0, until - time.monotonic()) if count > 1 else 0.0
