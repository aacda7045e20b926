"""From an HTTP process to the inference worker and back, with a deadline of our own.

LitServe's timeout covers the wait in its queue only; where a worker dies, its own handler waits for ever.
"""

import asyncio
import time
import uuid
from collections.abc import Sequence
from typing import cast

from litserve import LitServer
from litserve.utils import LitAPIStatus, ResponseBufferItem

from clarity.errors import ClarityError
from clarity.params import ServingParams
from serving.errors import Overdue, Overloaded
from serving.reply import Drawing, Job, Result

QUEUE = "/predict"
"""LitServe's name of the one queue; no path of ours."""


class Desk:
    """Where an HTTP process hands photographs in. One a process; it holds as many as ``serving.max_waiting``."""

    def __init__(self, server: LitServer, params: ServingParams) -> None:
        self._server = server
        self._params = params
        self._waiting = 0

    async def grade(self, photographs: Sequence[bytes], drawing: Drawing, *, keep: bool) -> list[Result]:
        """A result for each photograph, all of one model version. ``keep``: with the overlay that is stored.

        Raises Overloaded, Overdue, and what the worker names: NoChampion, BundleError, StorageError, SettingsError.
        """
        if self._waiting + len(photographs) > self._params.max_waiting:
            raise Overloaded(
                f"{len(photographs)} photographs: {self._waiting} wait already, of at most {self._params.max_waiting}"
            )
        self._waiting += len(photographs)
        try:
            return await self._handed_over(photographs, drawing, keep=keep)
        finally:
            self._waiting -= len(photographs)

    async def _handed_over(self, photographs: Sequence[bytes], drawing: Drawing, *, keep: bool) -> list[Result]:
        item, uid, now = ResponseBufferItem(asyncio.Event()), str(uuid.uuid4()), time.monotonic()
        job = Job(tuple(photographs), drawing, keep, now, now + self._params.timeout_s)
        size = sum(len(data) for data in photographs)
        self._server.response_buffer[uid] = item
        try:
            work = (self._server.app.response_queue_id, uid, now, job)
            # The queue lives in another process: a large photograph would hold up the event loop for milliseconds.
            await asyncio.to_thread(self._server._get_request_queue(QUEUE).put, work)
            async with asyncio.timeout(self._params.timeout_s):
                await item.event.wait()
        except TimeoutError:
            raise Overdue(f"photographs of {size} bytes: no answer within {self._params.timeout_s:g} s") from None
        finally:
            self._server.response_buffer.pop(uid, None)
        answer, status = cast("tuple[object, str]", item.response)
        if isinstance(answer, ClarityError):
            raise answer
        if status != LitAPIStatus.OK or not isinstance(answer, list):
            raise Overdue(
                f"photographs of {size} bytes: not graded ({status.lower()}), the service could not take them"
            )
        return answer
