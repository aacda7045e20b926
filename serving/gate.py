"""The gate before every route: who calls, how often, whether it may; and the access log behind it."""

import asyncio
import base64
import binascii
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import cached_property

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clarity.access import keys, log
from clarity.access.rate import Rates
from clarity.errors import AccessRefused, ClarityError, StorageUnavailable
from clarity.storage.access import Entry
from serving import access, upload
from serving.access import OPEN, Caller
from serving.errors import InvalidParameter, UnknownMethod, UnknownPath
from serving.handlers import respond
from serving.journal import Journal
from serving.keyring import Keyring
from serving.paths import Need, Paths, Place
from serving.site import Site

_HEALTH = "/health"
MAX_JSON = 1_048_576
"""Bytes of a body that is no photograph."""
_PATIENCE_S = 10.0
_OTHER_SITES = ("cross-site", "same-site")


class Gate:
    """Middleware. ``open_``: everybody is let in, for loopback."""

    def __init__(self, app: ASGIApp, *, of: FastAPI, site: Site, open_: bool = False) -> None:
        self._app, self._of, self._site, self._open = app, of, site, open_
        self._rates = Rates()
        self._keyring = Keyring(lambda id: keys.find(site.engine, id))
        self._writers = ThreadPoolExecutor(4, thread_name_prefix="access-log")

    @cached_property
    def _paths(self) -> Paths:
        return Paths(self._of)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's signature."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path, asked = self._paths.known(scope["path"]), scope["method"]
        # HEAD is GET without its body; the server keeps its own scope, and with it what was really asked.
        scope = {**scope, "path": path, "method": "GET" if asked == "HEAD" else asked}
        send = _headless(send) if asked == "HEAD" else send
        place = self._paths.find(path)
        try:
            need = await self._need(scope, place)
            if need is None or place is None:
                await Response(status_code=204, headers={"Allow": place.allowed if place else ""})(scope, receive, send)
                return
            receive = upload.limited(Request(scope, receive), MAX_JSON).receive if need.json else receive
        except ClarityError as error:
            await respond(scope, error)(scope, receive, send)
            return
        await Journal(scope, send, self._write, f"{asked} {scope['state']['place']}").run(self._app, receive)

    async def _need(self, scope: Scope, place: Place | None) -> Need | None:
        """What the caller may do here; None where OPTIONS asks what there is. Raises AccessRefused and others."""
        state, method = scope["state"], scope["method"]
        state["place"] = self._paths.documented(place) if place else "unknown path"
        need = place.needs.get(method) if place else None
        if need is None or place is None or place.path != _HEALTH:
            state["caller"] = await self._caller(scope)
        if place is None:
            raise UnknownPath("path: there is nothing here, see /docs")
        if b"%00" in scope["query_string"]:
            raise InvalidParameter("address: has a zero byte, which no text of ours has")
        if need is None and method != "OPTIONS":
            raise UnknownMethod(f"method: not one of {place.allowed}, see /docs", allowed=place.allowed)
        if need is not None and need.scope is not None:
            access.check(state["caller"], need.scope)
        return need

    async def _caller(self, scope: Scope) -> Caller:
        if self._open:
            return OPEN
        presented = keys.read(_key(Headers(scope=scope)))
        found = await self._keyring.find(presented.id) if presented else None
        key = keys.verify(found, presented.secret if presented else "", datetime.now(UTC))
        self._rates.take(key.id, key.rate_per_minute)
        return Caller(key.id, key.name, key.scopes)

    async def _write(self, entries: Sequence[Entry]) -> None:
        """Into the access log. Raises StorageError, SettingsError."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await loop.run_in_executor(self._writers, lambda: log.append(self._site.engine, entries))
        except TimeoutError:
            raise StorageUnavailable(f"access log: no answer within {_PATIENCE_S:g} s") from None


def _key(headers: Headers) -> str:
    """The key's text as it was sent. Raises AccessRefused where none was."""
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() == "basic":
        if headers.get("sec-fetch-site") in _OTHER_SITES:
            raise AccessRefused("key: a browser's, on behalf of another site's page")
        return _password(value.strip())
    if "x-api-key" in headers:
        return headers["x-api-key"].strip()
    raise AccessRefused("key: none; send it as Authorization: Bearer, or as X-API-Key")


def _password(encoded: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode("ascii").partition(":")[2]
    except (binascii.Error, ValueError):
        return ""


def _headless(send: Send) -> Send:
    """Sends no body."""

    async def sent(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return sent
