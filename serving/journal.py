"""The access log of one request: its rows are there before its answer leaves, or the answer does not."""

from collections.abc import Awaitable, Callable, Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clarity.errors import ClarityError
from clarity.storage.access import Entry
from serving.access import Caller
from serving.handlers import respond

Write = Callable[[Sequence[Entry]], Awaitable[None]]


class Journal:
    """Runs an application for one request. ``action``: method and documented path."""

    def __init__(self, scope: Scope, send: Send, write: Write, action: str) -> None:
        self._scope, self._send, self._write, self._action = scope, send, write, action
        self._refused = False

    async def run(self, app: ASGIApp, receive: Receive) -> None:
        """Answer; where what was touched cannot be logged, with a problem instead of what was found."""
        try:
            await app(self._scope, receive, self._sent)
        except Exception:
            await self._log(500)
            raise

    async def _sent(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            try:
                await self._log(message["status"])
            except ClarityError as error:
                self._refused = True
                await respond(self._scope, error)(self._scope, _nothing, self._send)
        if not self._refused:
            await self._send(message)

    async def _log(self, status: int) -> None:
        state = self._scope["state"]
        records: dict[str, None] = state.pop("records", {})
        caller: Caller | None = state.get("caller")
        if records and caller is not None:
            told = state["id"]
            await self._write([Entry(caller.key_id, self._action, record, status, told) for record in records])


async def _nothing() -> Message:
    return {"type": "http.disconnect"}
