"""The server: LitServe's processes and queue, our application. ``main`` is behind ``clarity serve``."""

import logging
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from litserve import LitServer

from clarity import params
from clarity.settings import Settings
from serving import listening, metrics
from serving.crates import METRICS, make_run_folder
from serving.predict import GradingAPI
from serving.schemas import STATEMENT
from serving.site import Site
from serving.source import Source

log = logging.getLogger("clarity.serving")
_RESTART_S = 0.25
"""How soon LitServe looks whether a worker has died."""
_MONITORING, _WATCH_ENDS_S = "litserve-monitoring", 5.0


class Server(LitServer):  # type: ignore[misc]  # litserve ships no types
    """LitServe's, with our application, which is made while the workers start: its imports take as long as theirs."""

    def __init__(self, source: Source, site: Site, run: Path, *, open_: bool) -> None:
        serving = site.params.serving
        super().__init__(
            GradingAPI(source, site, run),
            accelerator="cpu",
            workers_per_device=serving.workers,
            timeout=serving.timeout_s,
            # A second line only: serving.upload refuses earlier, and says why.
            max_payload_size=2 * serving.max_upload_bytes,
            restart_workers=True,
        )
        self.monitor_internal = _RESTART_S
        self._site, self._run, self._open, self._dressed = site, run, open_, False

    def dress(self) -> None:
        """Put our application into LitServe's, once."""
        from serving.application import dress

        if not self._dressed:
            dress(self, self._site, self._run, open_=self._open)
            self._dressed = True

    def verify_worker_status(self) -> None:
        """LitServe's wait for the workers that it has just started."""
        self.dress()
        super().verify_worker_status()

    def _perform_graceful_shutdown(self, *arguments: Any, **more: Any) -> None:
        """LitServe's, once its watch over the workers has ended, which would start again what is being stopped."""
        # From a thread of its own: this one's line to LitServe's manager still waits for what a signal cut off.
        telling = threading.Thread(target=self._shutdown_event.set, daemon=True)
        telling.start()
        for thread in (telling, *(one for one in threading.enumerate() if one.name == _MONITORING)):
            thread.join(_WATCH_ENDS_S)
        super()._perform_graceful_shutdown(*arguments, **more)


def build(source: Source, site: Site, run: Path = Path(), *, open_: bool = False) -> LitServer:
    """A server for the source's model, and its application. Loads and connects to nothing: its worker does.

    ``run``: a folder of its own (``crates.make_run_folder``), through which its processes work together once it runs.
    """
    server = Server(source, site, run, open_=open_)
    server.dress()
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
        Server(source, Site(settings, loaded), run, open_=open_).run(
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
