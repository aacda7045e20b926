"""How an error leaves the service, and what every answer carries: an id of its request, headers, a line in the log."""

import logging
import re
import time
import traceback
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clarity.errors import ClarityError
from serving import errors, metrics, security
from serving.errors import InvalidParameter, MalformedBody
from serving.schemas import Problem

log = logging.getLogger("clarity.serving")
REQUEST_ID = "X-Request-Id"
MEDIA_TYPE = "application/problem+json"
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
_NAME = re.compile(r"[A-Za-z_-]{1,40}", re.ASCII)
_SPEAKS_OF_SCHEMA = re.compile(
    r"literal_error|enum|(greater|less)_than(_equal)?|(string_)?too_(short|long)|string_pattern_mismatch"
    r"|(int|float|bool|string|list|dict)_(type|parsing)|finite_number"
)
_SHOWN = 8


class Answering:
    """The outermost middleware: a request id of our own, its line in the log, security headers, and no crash."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's signature."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["id"], started, status = uuid.uuid4().hex, time.perf_counter(), 0

        async def dressed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID] = state["id"]
                for name, value in security.headers(scope).items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, dressed)
        except Exception as error:  # noqa: BLE001 - the last one: nothing may leave without an answer
            crashed(state["id"], error)
            if not status:
                await _crash(state["id"])(scope, receive, dressed)
        # Method and path as the service knows them: a stranger's may carry anything, and a log line must not.
        method = scope["method"] if scope["method"] in _METHODS else "unknown method"
        took = (time.perf_counter() - started) * 1e3
        log.info("%s %s %d %.0f ms id=%s", method, state.get("place", "unknown path"), status, took, state["id"])


def register(app: FastAPI) -> None:
    """Named errors through the table; HTTP's own errors as problems too."""
    app.add_exception_handler(ClarityError, _named)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)


def respond(scope: Scope, error: ClarityError) -> Response:
    """A named error as an answer, and in the log."""
    return _respond(errors.problem(error, scope["state"]["id"]), errors.headers(error))


def crashed(request_id: str, error: BaseException) -> None:
    """Log where it happened. Not the errors' own words: they may repeat what the caller sent."""
    told: list[str] = []
    at: BaseException | None = error
    while at is not None and len(told) < 5:
        frames = "".join(traceback.format_list(traceback.extract_tb(at.__traceback__)))
        told.append(f"{type(at).__module__}.{type(at).__name__}\n{frames}")
        at = at.__cause__ or at.__context__
    log.error("id=%s crashed: %s", request_id, "caused by ".join(told))


async def _named(request: Request, error: Exception) -> Response:
    assert isinstance(error, ClarityError)  # noqa: S101 - registered for it
    return respond(request.scope, error)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    if isinstance(error.__cause__, ClarityError):  # FastAPI's, of whatever reading the body raised
        return respond(request.scope, error.__cause__)
    if error.status_code == 400:
        return respond(request.scope, MalformedBody("body: cannot be parsed as what its content type says"))
    problem = errors.plain_problem(error.status_code, request.scope["state"]["id"])
    return _respond(problem, (error.headers or {}).items())


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it
    return respond(request.scope, InvalidParameter(_wrong(error.errors())))


def _wrong(found: Sequence[Any]) -> str:
    """Which fields, and what was expected; never their values: those may be anything, a patient's name too."""
    if any(one["type"] == "json_invalid" for one in found):
        return "body: not JSON"
    said = sorted({f"{_field(one)}: {_expected(one)}" for one in found})
    return f"{'; '.join(said[:_SHOWN])}, see /docs"


def _field(one: Any) -> str:
    """As documented. A name that is not is the caller's own, and may be anything too."""
    names = [str(part) for part in one["loc"][1:] if isinstance(part, str)]
    return names[0] if names and one["type"] != "extra_forbidden" and _NAME.fullmatch(names[0]) else str(one["loc"][0])


def _expected(one: Any) -> str:
    kind = one["type"]
    if kind == "extra_forbidden":
        return "has a field that is not documented"
    if kind == "missing":
        return "missing"
    # These speak of the schema alone; others, of a UUID or a day, repeat a piece of the value.
    return one["msg"].removeprefix("Input ") if _SPEAKS_OF_SCHEMA.fullmatch(kind) else "not as documented"


def _crash(request_id: str) -> Response:
    return _respond(errors.plain_problem(500, request_id))


def _respond(problem: Problem, headers: Iterable[tuple[str, str]] = ()) -> Response:
    metrics.refused(problem.code)
    log.info("id=%s refused %d %s: %s", problem.request_id, problem.status, problem.code, problem.detail)
    response = JSONResponse(problem.model_dump(), problem.status, media_type=MEDIA_TYPE)
    for name, value in headers:
        response.headers.append(name, value)
    return response
