"""A server process with its children: started, waited for until it is ready, watched, stopped."""

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

from clarity.bench.online.caller import Caller, get
from clarity.errors import InferenceError

CLARITY = (sys.executable, "-c", "from clarity.cli import main; main()")
_PATIENCE_S, _STOP_S, _STEP_S = 120.0, 30.0, 0.01
_OURS = re.compile("CLARITY_|MLFLOW_|PREFECT_|AWS_")


@dataclass(frozen=True, slots=True)
class Server:
    """One that answers."""

    address: tuple[str, int]
    process: psutil.Process
    started_s: float
    """From the start of the process until it said that it is ready."""

    def cpu_s(self) -> float:
        """CPU time of all its processes that live."""
        times = [one.cpu_times() for one in self._processes()]
        return sum(one.user + one.system for one in times)

    def resident_mb(self) -> float:
        """What all its processes hold; a page that two of them share is counted twice."""
        return sum(one.memory_info().rss for one in self._processes()) / 1e6

    def _processes(self) -> Iterator[psutil.Process]:
        for one in (self.process, *self.process.children(recursive=True)):
            with one.oneshot():
                try:
                    one.cpu_times()
                except psutil.Error:
                    continue
                yield one


@contextmanager
def serving(
    command: Sequence[str], port: int, environment: Mapping[str, str], *, ready: str = "/ready", key: str | None = None
) -> Iterator[Server]:
    """Start a command that listens on ``port`` of loopback; go on when GET ``ready`` is answered by 200.

    Raises InferenceError, with the end of its log, where it ends or is not ready in two minutes.
    """
    own = {name: value for name, value in os.environ.items() if not _OURS.match(name)}
    with tempfile.TemporaryFile() as log:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env={**own, **environment}, start_new_session=True
        )
        try:
            _await(process, ("127.0.0.1", port), ready, key)
            yield Server(("127.0.0.1", port), psutil.Process(process.pid), time.perf_counter() - began)
        except InferenceError as error:
            log.seek(0)
            raise InferenceError(f"{error}: {log.read()[-800:].decode(errors='replace')}") from None
        finally:
            _stop(process)


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def _await(process: subprocess.Popen[bytes], address: tuple[str, int], path: str, key: str | None) -> None:
    until, request, status = time.monotonic() + _PATIENCE_S, get(address, path, key), 0
    while time.monotonic() < until and process.poll() is None:
        with Caller(address, patience_s=5) as caller:
            status = caller.call(request).status
        if status == 200:
            return
        time.sleep(_STEP_S)
    raise InferenceError(f"server on port {address[1]}: not ready, {path} answered {status}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
