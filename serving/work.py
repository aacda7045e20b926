"""From an HTTP process to the inference workers and back: bounded, with a deadline, and without waiting for the dead.

LitServe's timeout covers the wait in its queue only; where a worker dies, its own handler waits for ever.
"""

import asyncio
import time
import uuid
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from litserve import LitServer
from litserve.utils import ResponseBufferItem

from clarity.errors import ClarityError
from clarity.params import ServingParams
from serving import hangup, metrics
from serving.crates import CRATES, Answered, Crates
from serving.errors import CallerLeft, Overdue, Overloaded
from serving.reply import Drawing, Job, Reply, Result
from serving.state import Board
from serving.watch import Watch

QUEUE = "/predict"
"""LitServe's name of the one queue; no path of ours."""
_TRIES = 2
"""A photograph during which a worker died is tried once more, alone: it may be what kills them."""


@dataclass(eq=False, slots=True)
class _Asked:
    """A job that is waited for."""

    job: Job
    answer: "asyncio.Future[Answered]"
    name: str = field(default_factory=lambda: uuid.uuid4().hex)
    tries: int = 0

    @property
    def size(self) -> int:
        return len(self.job.photographs)


class Desk:
    """Where an HTTP process hands photographs in. One a process; it holds as many as ``serving.max_waiting``.

    It hands over about two batches a worker, so that the rest can be taken back when their callers leave.
    """

    def __init__(self, server: LitServer, params: ServingParams, run: Path) -> None:
        self._server, self._params = server, params
        self._crates = Crates(run / CRATES)
        self._watch = Watch(Board(run), self)
        self._most_out = 2 * params.max_batch_size * params.workers
        self._queue: deque[_Asked] = deque()
        self._out: dict[str, _Asked] = {}
        self._held = 0
        self._hand = ThreadPoolExecutor(1, thread_name_prefix="desk")

    async def grade(self, photographs: Sequence[bytes], drawing: Drawing, *, keep: bool) -> list[Result]:
        """A result for each photograph, all of one model version. ``keep``: with the overlay that is stored.

        Raises Overloaded, Overdue, and what the worker names: NoChampion, BundleError, StorageError, SettingsError.
        """
        limit = self._params.max_waiting
        if self._held and self._held + len(photographs) > limit:
            raise Overloaded(f"{len(photographs)} photographs: {self._held} wait already, at most {limit} may")
        now = time.monotonic()
        job = Job(tuple(photographs), drawing, keep, now, now + self._params.timeout_s)
        asked = _Asked(job, asyncio.get_running_loop().create_future())
        self._hold(asked.size)
        self._queue.append(asked)
        try:
            self._hand_over()
            results = await self._waited(asked)
        finally:
            self._forget(asked)
        for one in results:
            if isinstance(one, Reply):
                metrics.answered(one)
        return results

    async def keep_watch(self) -> None:
        """Look after the workers until cancelled: a dead one's jobs are tried again."""
        await self._watch.run()

    async def _waited(self, asked: _Asked) -> list[Result]:
        left = asyncio.create_task(hangup.gone().wait())
        either: set[asyncio.Future[Any]] = {asked.answer, left}
        try:
            patience = asked.job.deadline - time.monotonic()
            await asyncio.wait(either, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        finally:
            left.cancel()
        if asked.answer.done():
            answered = asked.answer.result()
            if isinstance(answered, ClarityError):
                raise answered
            return answered
        subject = f"{asked.size} photographs"
        if left.done() and not left.cancelled():
            raise CallerLeft(f"{subject}: the caller left, they are not graded")
        raise Overdue(f"{subject}: no answer within {self._params.timeout_s:g} s")

    def _hand_over(self) -> None:
        """Give the workers what they have room for. A job that has cost a worker its life goes out alone."""
        while self._queue:
            asked, out = self._queue[0], sum(one.size for one in self._out.values())
            alone = asked.tries > 0 or any(one.tries > 0 for one in self._out.values())
            if out and (alone or out + asked.size > self._most_out):
                return
            self._queue.popleft()
            self._out[asked.name] = asked
            item = ResponseBufferItem(_Bell(self, asked))
            self._server.response_buffer[asked.name] = item
            asyncio.get_running_loop().run_in_executor(self._hand, self._lay_down, asked).add_done_callback(
                lambda done, asked=asked: self._laid_down(asked, done)  # type: ignore[misc]
            )

    def _lay_down(self, asked: _Asked) -> None:
        self._crates.offer(asked.name, asked.job)
        self._call(asked.name)
        if asked.answer.done():  # taken back meanwhile
            self._crates.discard(asked.name)

    def _laid_down(self, asked: _Asked, done: "asyncio.Future[None]") -> None:
        error = done.exception()
        if error is not None and not asked.answer.done():
            said = error if isinstance(error, ClarityError) else Overdue(f"{type(error).__name__}: not handed over")
            asked.answer.set_result(said)

    def _call(self, name: str) -> None:
        """Say a job's name in LitServe's queue, which lives in another process."""
        work = (self._server.app.response_queue_id, name, time.monotonic(), None)
        self._server._get_request_queue(QUEUE).put(work)

    def collect(self, asked: _Asked) -> None:
        """A worker says that it has answered."""
        answered = self._crates.collect(asked.name)
        if answered is not None and not asked.answer.done():
            asked.answer.set_result(answered)

    def claimants(self) -> set[int]:
        """The workers that have a job."""
        return self._crates.claimants() if self._out else set()

    def lost(self, pid: int) -> None:
        """A worker died: what it had taken is tried again, once."""
        metrics.worker_lost(pid)
        for asked in list(self._out.values()):
            self.collect(asked)
            if asked.answer.done() or not self._crates.is_claimed_by(asked.name, pid):
                continue
            self._out.pop(asked.name)
            self._crates.discard(asked.name)
            asked.tries += 1
            if asked.tries < _TRIES:
                self._queue.appendleft(asked)
            else:
                said = f"{asked.size} photographs: the worker that graded them died, {asked.tries} times"
                asked.answer.set_result(Overdue(said))
        self._hand_over()

    def call_again(self) -> None:
        """Say the names of unclaimed jobs again: LitServe's queue gives one to a dead worker. Twice is harmless."""
        for name in self._out:
            if self._crates.is_unclaimed(name):
                self._hand.submit(self._call, name)

    def _forget(self, asked: _Asked) -> None:
        self._server.response_buffer.pop(asked.name, None)
        if not asked.answer.done():
            asked.answer.cancel()
        if self._out.pop(asked.name, None) is None and asked in self._queue:
            self._queue.remove(asked)
        self._crates.discard(asked.name)
        self._hold(-asked.size)
        self._hand_over()

    def _hold(self, more: int) -> None:
        self._held += more
        metrics.waiting(self._held)


class _Bell:
    """What LitServe takes for an event: it sets it when a worker's message has come."""

    def __init__(self, desk: Desk, asked: _Asked) -> None:
        self._desk, self._asked = desk, asked

    def set(self) -> None:
        """The message has come."""
        self._desk.collect(self._asked)

    def is_set(self) -> bool:
        """Whether there is an answer."""
        return self._asked.answer.done()
