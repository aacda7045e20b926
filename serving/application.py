"""What the server's application answers: every module of routes, and what stands before them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from fastapi import APIRouter, FastAPI
from litserve import LitServer
from starlette.middleware.gzip import GZipMiddleware

from clarity import __version__
from serving import (
    documentation,
    handlers,
    orphans,
    patients,
    predictions,
    scans,
    security,
    status,
    worklist,
)
from serving.gate import Gate
from serving.handlers import Answering
from serving.hangup import Hangup
from serving.schemas import STATEMENT
from serving.site import Site
from serving.state import Board
from serving.work import Desk

VERSION = "/v1"
ROUTERS: tuple[Callable[[Site], APIRouter], ...] = (
    predictions.router,
    patients.router,
    scans.router,
    worklist.router,
    status.router,
)
"""Each stands under /v1, and without it for whoever wants the newest version, hidden from the document."""
_SCHEMA = "/openapi.json"


def dress(server: LitServer, site: Site, run: Path, *, open_: bool) -> None:
    """Our paths instead of LitServe's, which answer text and turn a malformed body into a 500."""
    app: FastAPI = server.app
    app.title, app.version, app.description = "Clarity", __version__, STATEMENT
    app.router.routes[:] = [route for route in app.router.routes if getattr(route, "path", "") == _SCHEMA]
    # A PNG in base64 costs a gzip more time than the network takes to look at the eye.
    app.user_middleware[:] = [entry for entry in app.user_middleware if entry.cls is not cast(object, GZipMiddleware)]
    app.state.desk, app.state.board = Desk(server, site.params.serving, run), Board(run)
    for router in ROUTERS:
        made = router(site)
        app.include_router(made, prefix=VERSION)
        app.include_router(made, include_in_schema=False)
    app.include_router(status.live(app.state.board))
    app.include_router(status.root(site, app.state.board))
    documentation.offer(app)
    documentation.complete(app)
    handlers.register(app)
    # The last one added stands in front.
    app.add_middleware(Hangup)
    app.add_middleware(Gate, of=app, site=site, open_=open_)
    security.add_cors(app, site.params.serving.cors_origins)
    app.add_middleware(Answering)
    _attend(app, server, run)


def _attend(app: FastAPI, server: LitServer, run: Path) -> None:
    """What an HTTP process does beside answering: looks after the workers, and ends with the server."""
    start_up = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        orphans.end_with_parent(*_queue_process(server), folder=run)
        watch = asyncio.create_task(app.state.desk.keep_watch())
        async with start_up(app):
            yield
        watch.cancel()

    app.router.lifespan_context = lifespan


def _queue_process(server: LitServer) -> list[int]:
    """The id of the process that holds LitServe's queues: it watches nobody itself."""
    process = getattr(server.transport_config.manager, "_process", None)
    return [process.pid] if process is not None and process.pid else []
