"""The server: LitServe's processes and queue, our paths, our errors. ``main`` is behind ``clarity serve``."""

import asyncio
import logging
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import cast

from fastapi import APIRouter, FastAPI
from litserve import LitServer
from starlette.middleware.gzip import GZipMiddleware

from clarity import __version__, params
from clarity.settings import Settings
from serving import (
    documentation,
    handlers,
    listening,
    metrics,
    orphans,
    patients,
    predictions,
    scans,
    security,
    status,
    worklist,
)
from serving.crates import METRICS, make_run_folder
from serving.gate import Gate
from serving.handlers import Answering
from serving.hangup import Hangup
from serving.predict import GradingAPI
from serving.schemas import STATEMENT
from serving.site import Site
from serving.source import Source
from serving.state import Board
from serving.work import Desk

log = logging.getLogger("clarity.serving")
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
_RESTART_S = 0.25
"""How soon LitServe looks whether a worker has died."""


def build(source: Source, site: Site, run: Path = Path(), *, open_: bool = False) -> LitServer:
    """A server for the source's model. Loads and connects to nothing: its worker does, once it runs.

    ``run``: a folder of its own (``crates.make_run_folder``), through which its processes work together once it runs.
    """
    serving = site.params.serving
    server = LitServer(
        GradingAPI(source, site, run),
        accelerator="cpu",
        workers_per_device=serving.workers,
        timeout=serving.timeout_s,
        # A second line only: serving.upload refuses earlier, and says why.
        max_payload_size=2 * serving.max_upload_bytes,
        restart_workers=True,
    )
    server.monitor_internal = _RESTART_S
    _dress(server.app, server, site, run, open_=open_)
    return server


def main(
    *, bundle: Path | None, host: str | None, port: int | None, configuration: list[Path], open_: bool = False
) -> None:
    """Serve until SIGINT or SIGTERM; then answer what was taken and leave no process. ``open_``: without keys.

    Raises ParameterError, SettingsError (a host or port that cannot be listened on), BundleError (a named bundle that
    is refused). Without a champion it starts, and /predict answers 503 with the reason.
    """
    settings = Settings.load()
    loaded = params.load(*(configuration or [settings.project / "conf/pipeline.yaml"]))
    source = Source.of(settings, loaded.model.name, bundle)
    if bundle is not None:
        source.locate()
    certificate = listening.tls(settings)
    wish = loaded.serving.port if port is None else port
    host, port = listening.address(host or loaded.serving.host, wish, open_=open_)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    scheme = "https" if certificate else "http"
    log.info("%s://%s:%d/docs (pid %d). %s", scheme, host, port, os.getpid(), STATEMENT)
    listening.stop_on_signals()
    with _run_folder() as run:
        build(source, Site(settings, loaded), run, open_=open_).run(
            host=host,
            port=port,
            num_api_servers=1,
            log_level="warning",
            generate_client_file=False,
            access_log=False,
            timeout_keep_alive=30,
            **certificate,
        )


@contextmanager
def _run_folder() -> Iterator[Path]:
    """For the time that the service runs. Said to prometheus_client before anything imports it."""
    run = make_run_folder()
    try:
        os.environ[metrics.FOLDER] = str(run / METRICS)
        yield run
    finally:
        shutil.rmtree(run, ignore_errors=True)


def _dress(app: FastAPI, server: LitServer, site: Site, run: Path, *, open_: bool) -> None:
    """Our paths instead of LitServe's, which answer text and turn a malformed body into a 500."""
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
