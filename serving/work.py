"""From an HTTP process to the inference worker and back, with a deadline of our own.

LitServe's timeout covers the wait in its queue only; where a worker dies, its own handler waits for ever.
"""

import asyncio
import time
import uuid
from typing import cast

from litserve import LitServer
from litserve.utils import LitAPIStatus, ResponseBufferItem

from clarity.errors import ClarityError
from serving.errors import Overdue
from serving.predict import Photograph
from serving.schemas import Drawing


async def grade(server: LitServer, path: str, data: bytes, drawing: Drawing, deadline_s: float) -> bytes:
    """The encoded Answer for a photograph. Raises what the worker names, and Overdue."""
    item = ResponseBufferItem(asyncio.Event())
    request_id = str(uuid.uuid4())
    now = time.monotonic()
    server.response_buffer[request_id] = item
    try:
        work = (server.app.response_queue_id, request_id, now, Photograph(data, now, drawing))
        # The queue lives in another process: a large photograph would hold up the event loop for milliseconds.
        await asyncio.to_thread(server._get_request_queue(path).put, work)
        async with asyncio.timeout(deadline_s):
            await item.event.wait()
    except TimeoutError:
        raise Overdue(f"photograph of {len(data)} bytes: no answer within {deadline_s:g} s") from None
    finally:
        server.response_buffer.pop(request_id, None)
    answer, status = cast("tuple[object, str]", item.response)
    if isinstance(answer, ClarityError):
        raise answer
    if status != LitAPIStatus.OK or not isinstance(answer, bytes):
        raise Overdue(f"photograph of {len(data)} bytes: not graded ({status.lower()}), the service could not take it")
    return answer
