"""One prediction over HTTP, from a real ``clarity serve`` in a process of its own."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from clarity.errors import StackError

_PATIENCE_S = 90.0


@contextmanager
def service(environment: dict[str, str], log: Path) -> Iterator[str]:
    """The address of a running service, stopped at the end. Raises StackError with the log's last line."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", "from clarity.cli import main; main()", "serve", "--port", str(port)]
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(url, process, log)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def ask(url: str, photograph: bytes) -> dict[str, Any]:
    """POST /predict, twice; the second answer, without its picture, with ``round_trip_ms``.

    The first call pays for what a new process does once.
    """
    with httpx.Client(base_url=url, timeout=60) as client:
        for _ in range(2):
            start = time.perf_counter()
            response = client.post("/predict", files={"image": ("capture.jpg", photograph)})
            took = 1000 * (time.perf_counter() - start)
    if response.status_code != 200:
        raise StackError(f"POST {url}/predict: HTTP {response.status_code}, {response.text[:300]}")
    answer: dict[str, Any] = response.json()
    if answer["heatmap"]:
        answer["heatmap"] = {key: value for key, value in answer["heatmap"].items() if key != "data"}
    return answer | {"round_trip_ms": round(took, 1)}


def _wait(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            health = httpx.get(f"{url}/health", timeout=2)
            if health.status_code == 200 and health.json()["status"] == "ok":
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    last = (log.read_text(errors="replace").strip().splitlines() or ["no output"])[-1]
    raise StackError(f"clarity serve: did not answer at {url}, its log {log} ends with: {last}")
