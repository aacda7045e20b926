"""The server: LitServe's processes and queue, our paths, our errors. ``main`` is behind ``clarity serve``."""

import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from fastapi import APIRouter, FastAPI
from litserve import LitServer
from starlette.middleware.gzip import GZipMiddleware

from clarity import __version__, params
from clarity.errors import SettingsError
from clarity.settings import Settings
from serving import documentation, orphans, routes, status
from serving.predict import GradingAPI
from serving.schemas import STATEMENT
from serving.site import Site
from serving.source import Source
from serving.work import Desk

VERSION = "/v1"
ROUTERS: tuple[Callable[[Site], APIRouter], ...] = (routes.router,)
"""Each stands under /v1, and without it for whoever wants the newest version, hidden from the document."""
_SCHEMA = "/openapi.json"
_HOSTS = ("127.0.0.1", "0.0.0.0", "::")  # noqa: S104 - what LitServe can listen on; loopback unless said otherwise


def build(source: Source, site: Site) -> LitServer:
    """A server for the source's model. Loads and connects to nothing: its worker does, once it runs."""
    serving = site.params.serving
    api = GradingAPI(
        source,
        overlay_size=site.params.screening.overlay_size,
        max_batch_size=serving.max_batch_size,
        batch_timeout=serving.batch_timeout_s,
    )
    server = LitServer(
        api,
        accelerator="cpu",
        workers_per_device=serving.workers,
        timeout=serving.timeout_s,
        # A second line only: serving.upload refuses earlier, and says why.
        max_payload_size=2 * serving.max_upload_bytes,
        restart_workers=True,
    )
    _dress(server.app, server, site)
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
    host, port = _address(host or loaded.serving.host, loaded.serving.port if port is None else port)
    if open_ and host != _HOSTS[0]:
        raise SettingsError(f"host {host}: not loopback, so it is not served --open, without keys")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("clarity.serving").info("http://%s:%d/docs (pid %d). %s", host, port, os.getpid(), STATEMENT)
    _stop_on_signals()
    build(source, Site(settings, loaded)).run(
        host=host,
        port=port,
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
        timeout_keep_alive=30,
    )


def _dress(app: FastAPI, server: LitServer, site: Site) -> None:
    """Our paths instead of LitServe's, which answer text and turn a malformed body into a 500."""
    app.title, app.version, app.description = "Clarity", __version__, STATEMENT
    app.router.routes[:] = [route for route in app.router.routes if getattr(route, "path", "") == _SCHEMA]
    # A PNG in base64 costs a gzip more time than the network takes to look at the eye.
    app.user_middleware[:] = [entry for entry in app.user_middleware if entry.cls is not cast(object, GZipMiddleware)]
    app.state.desk = Desk(server, site.params.serving)
    for router in ROUTERS:
        made = router(site)
        app.include_router(made, prefix=VERSION)
        app.include_router(made, include_in_schema=False)
    status.root(app, server)
    routes.register_errors(app)
    routes.document(app)
    documentation.offer(app)
    start_up = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        orphans.end_with_parent(*_queue_process(server))
        async with start_up(app):
            yield

    app.router.lifespan_context = lifespan


def _queue_process(server: LitServer) -> list[int]:
    """The id of the process that holds LitServe's queues: it watches nobody itself."""
    process = getattr(server.transport_config.manager, "_process", None)
    return [process.pid] if process is not None and process.pid else []


def _address(host: str, port: int) -> tuple[str, int]:
    """An address that can be listened on; port 0 becomes a free one. Raises SettingsError."""
    if host not in _HOSTS:
        raise SettingsError(f"host {host!r}: cannot be listened on, one of {', '.join(_HOSTS)}")
    if port and port < 1024:
        raise SettingsError(f"port {port}: reserved for the system, take one from 1024 or 0 for any free one")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            raise SettingsError(f"{host}:{port}: {error.strerror}, choose another port") from None
        return host, int(trial.getsockname()[1])


def _stop_on_signals() -> None:
    """Stop gracefully on SIGTERM as on Ctrl-C, which is all that LitServe knows. Its forked children only end."""
    server = os.getpid()

    def stop(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt if os.getpid() == server else SystemExit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
