"""A really running ``clarity serve``, as a supervisor would start and stop it."""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

PROJECT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-c", "from clarity.cli import main; main()"]
START_S, STOP_S = 180, 60


@dataclass
class Live:
    process: subprocess.Popen[bytes]
    url: str
    log: Path
    headers: dict[str, str] = field(default_factory=dict)
    """Of every request, for example a key."""

    @property
    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60, headers=self.headers)

    def predict(self, photograph: bytes, **more: object) -> httpx.Response:
        with self.client as client:
            return client.post("/v1/predict", files={"image": ("eye.jpg", photograph)}, **more)  # type: ignore[arg-type]

    def ready(self) -> dict[str, Any]:
        """What /ready says, whether it is or not."""
        with self.client as client:
            said: dict[str, Any] = client.get("/ready").json()
            return said

    def processes(self) -> list[psutil.Process]:
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def worker(self) -> psutil.Process:
        """The inference worker of a service with one."""
        return self.workers()[0]

    def workers(self) -> list[psutil.Process]:
        """The inference workers: those that have OpenVINO loaded."""
        return [one for one in self.processes() if _has_openvino(one)]


def environment(home: Path, **more: str) -> dict[str, str]:
    own = {key: value for key, value in os.environ.items() if not re.match("CLARITY_|MLFLOW_|PREFECT_|AWS_", key)}
    return own | {"CLARITY_HOME": str(home), "CLARITY_PROJECT": str(PROJECT)} | more


@contextmanager
def serving(
    home: Path, *arguments: str, configuration: Sequence[Path] = (), open_: bool = True, **more: str
) -> Iterator[Live]:
    """Start ``clarity serve`` on a free port, wait until it answers, and stop it with SIGTERM at the end.

    ``open_``: without keys. ``more``: its environment.
    """
    home.mkdir(parents=True, exist_ok=True)
    log = home / "serve.log"
    files = [PROJECT / "conf/pipeline.yaml", PROJECT / "conf/smoke.yaml", *configuration]
    options = [text for file in files for text in ("--config", str(file))]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*COMMAND, "serve", *(["--open"] if open_ else []), "--port", "0", *options, *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment(home, **more),
            start_new_session=True,
        )
    live = Live(process, "", log)
    try:
        live.url = _wait(live)
        yield live
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(STOP_S)


def run_folder(live: Live) -> Path:
    """Through which the service's processes work together."""
    parents = (Path("/dev/shm"), Path(tempfile.gettempdir()))
    (found,) = (one for parent in parents for one in parent.glob(f"clarity-serve-{live.process.pid}-*"))
    return found


def until(holds: Callable[[], bool], within_s: float = 60) -> None:
    """Wait for something to happen."""
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.05)


def gone(processes: Sequence[psutil.Process], within_s: float = STOP_S) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=within_s)
    return not [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]


def _has_openvino(process: psutil.Process) -> bool:
    try:
        return any("openvino" in found.path for found in process.memory_maps())
    except psutil.NoSuchProcess:  # it has just ended
        return False


def _wait(live: Live) -> str:
    until = time.monotonic() + START_S
    while time.monotonic() < until and live.process.poll() is None:
        found = re.search(r"(https?://127\.0\.0\.1:\d+)/docs", live.log.read_text())
        if found:
            try:
                if httpx.get(f"{found[1]}/health", verify=False).status_code == 200:  # noqa: S501 - a test checks it
                    return found[1]
            except httpx.TransportError:
                pass
        time.sleep(0.1)
    raise AssertionError(f"clarity serve did not come up:\n{live.log.read_text()}")
