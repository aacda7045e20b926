"""A patient, a photograph and a history over HTTP, with a real ``clarity serve`` in a process of its own."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clarity.access import keys
from clarity.client import Client, Patience
from clarity.client.errors import ClientError
from clarity.errors import StackError
from clarity.storage import database

_PATIENCE_S = 90.0


@contextmanager
def service(environment: dict[str, str], log: Path, key: str) -> Iterator[str]:
    """The address of a running service with a model, stopped at the end. Raises StackError with the log's last line."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", "from clarity.cli import main; main()", "serve", "--port", str(port)]
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(url, key, process, log)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def ask(url: str, key: str, photograph: bytes, patient: str) -> dict[str, Any]:
    """Have a photograph of the patient (by external id) graded and kept, and read the patient's history back.

    What was answered, without pictures and addresses, with ``round_trip_ms``, and ``history``: how many visits and
    scans the patient has. Asked twice: the first call pays for what a new process does once, and it is one scan.
    """
    with Client(url, key) as client:
        known = next(client.patients(external_id=patient), None) or client.create_patient(external_id=patient)
        for _ in range(2):
            start = time.perf_counter()
            found = client.predict(photograph, patient=known.id)
            took = 1000 * (time.perf_counter() - start)
        visits = client.history(known.id).visits
    answer = {name: value for name, value in found.raw.items() if name not in ("heatmap", "stored")}
    history = {"visits": len(visits), "scans": sum(len(visit.scans) for visit in visits)}
    return answer | {"round_trip_ms": round(took, 1), "history": history}


@contextmanager
def key(database_url: str) -> Iterator[str]:
    """A key for the demo's questions, revoked at the end."""
    engine = database.engine(database_url)
    try:
        made, text = keys.make(engine, "demo", ("predict", "read"), rate_per_minute=600, expires_at=None)
        try:
            yield text
        finally:
            keys.revoke(engine, made.id)
    finally:
        engine.dispose()


def _wait(url: str, key: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Until it has a model: a service is up before that."""
    deadline, last = time.monotonic() + _PATIENCE_S, ""
    with Client(url, key, patience=Patience(attempts=1)) as client:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                ready = client.ready()
                if ready.ready:
                    return
                last = str(ready)
            except ClientError as error:
                last = str(error)
            time.sleep(0.2)
    lines = log.read_text(errors="replace").strip().splitlines() or ["no output"]
    raise StackError(f"clarity serve: not ready at {url} ({last}), its log {log} ends with: {lines[-1]}")
