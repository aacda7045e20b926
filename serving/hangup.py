"""Whether the caller of a request is still there: an event, for whoever waits on the caller's behalf."""

import asyncio
from contextlib import suppress
from contextvars import ContextVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_gone: ContextVar[asyncio.Event | None] = ContextVar("caller_gone", default=None)


def gone() -> asyncio.Event:
    """Set when the caller of the request that is being answered has left; outside of a request never."""
    return _gone.get() or asyncio.Event()


class Hangup:
    """Middleware: listens to the connection once the request's body is whole, since the routes no longer do."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's signature."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        left = asyncio.Event()
        listening: asyncio.Task[None] | None = None

        async def listen() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            left.set()

        async def heard() -> Message:
            nonlocal listening
            if listening is not None:
                await left.wait()
                return {"type": "http.disconnect"}
            message = await receive()
            if message["type"] == "http.disconnect":
                left.set()
            elif not message.get("more_body", False):
                listening = asyncio.create_task(listen())
            return message

        token = _gone.set(left)
        try:
            await self._app(scope, heard, send)
        finally:
            _gone.reset(token)
            if listening is not None:
                listening.cancel()
                with suppress(asyncio.CancelledError):
                    await listening
