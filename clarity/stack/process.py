"""Detached processes that outlive the command that started them: started, recognised later, stopped to the last child.

A process is recognised by pid and start time (a pid alone is reused) and by a mark in its environment, which every
descendant inherits whatever process group it moves to.
"""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

MARK = "CLARITY_STACK_PART"
_CLOCK_SLACK_S = 1.5  # psutil derives start times from the boot time, which moves a little when the clock is set
_MAX_LOG_BYTES = 20_000_000


@dataclass(frozen=True)
class Command:
    """What to run: arguments, variables over our own environment, folder, the user to become (None: ourselves)."""

    argv: Sequence[str]
    variables: Mapping[str, str]
    cwd: Path
    user: int | None = None
    group: int | None = None

    def digest(self) -> str:
        """Changes when the same part would now be started differently, and so has to be started again."""
        varying = {
            "CLARITY_PROJECT"
        }  # the folder of whoever types `up`; the deployments carry it, the process does not
        kept = sorted((k, v) for k, v in self.variables.items() if k not in varying)
        return hashlib.sha256(json.dumps([list(self.argv), kept]).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Record:
    """A started process: pid (its process group too), start time (seconds since the epoch), digest of its command."""

    pid: int
    started: float
    digest: str = ""

    @classmethod
    def read(cls, file: Path) -> "Record | None":
        """The record in ``file``, or None where there is none or a crash left half of one."""
        try:
            return cls(**json.loads(file.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, file: Path) -> None:
        """Replace ``file`` at once, so that a reader never sees half of it."""
        temporary = file.with_suffix(".new")
        temporary.write_text(json.dumps(asdict(self)))
        temporary.replace(file)

    def alive(self) -> bool:
        """Whether this very process runs. A zombie does not; one that is our own child is reaped here."""
        try:
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.started) > _CLOCK_SLACK_S:
                return False
            if process.status() == psutil.STATUS_ZOMBIE:
                _reap(process)
                return False
            return bool(process.is_running())
        except psutil.NoSuchProcess:
            return False


def start(command: Command, *, mark: str, log: Path) -> Record:
    """Start a detached process in a session of its own, its output appended to ``log``. OSError if it cannot start."""
    if log.exists() and log.stat().st_size > _MAX_LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    identity: dict[str, Any] = (
        {} if command.user is None else {"user": command.user, "group": command.group, "extra_groups": []}
    )
    with log.open("ab") as output:
        child = subprocess.Popen(
            list(command.argv),
            env={**environment(command.variables), MARK: mark},
            cwd=command.cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **identity,
        )
    record = Record(child.pid, psutil.Process(child.pid).create_time(), command.digest())
    child.returncode = 0  # detached on purpose: psutil watches it from here on, Popen need not complain or wait
    return record


def marked(mark: str) -> list[psutil.Process]:
    """Every living process that was started under ``mark``, or descends from one."""
    return [process for process in psutil.process_iter() if _mark_of(process) == mark]


def stop(record: Record | None, strays: Iterable[psutil.Process], how: signal.Signals, timeout_s: float) -> None:
    """Ask the process (and its group) to end, wait, then kill whatever of it or of ``strays`` is left.

    Returns when all are gone; a process that cannot be ended raises psutil.TimeoutExpired.
    """
    family = {process.pid: process for process in strays}
    if record is not None and record.alive():
        with contextlib.suppress(psutil.NoSuchProcess):
            leader = psutil.Process(record.pid)
            family |= {process.pid: process for process in [leader, *leader.children(recursive=True)]}
        with contextlib.suppress(ProcessLookupError):
            os.killpg(record.pid, how)
        _, left = psutil.wait_procs(list(family.values()), timeout=timeout_s)
    else:
        left = list(family.values())
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    for process in left:
        process.wait(timeout=10)


def tail(log: Path, lines: int = 12) -> list[str]:
    """The last lines of a log, without reading all of it."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 16_384))
            return file.read().decode(errors="replace").splitlines()[-lines:]
    except OSError:
        return []


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Our own environment with ``extra`` over it; loopback never goes through a proxy, output reaches the log."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_", "CLARITY_STACK_"))}
    direct = ",".join(filter(None, [own.get("NO_PROXY") or own.get("no_proxy"), "127.0.0.1,localhost"]))
    return {**own, "NO_PROXY": direct, "no_proxy": direct, "PYTHONUNBUFFERED": "1", **extra}


def _mark_of(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(MARK)
    except (psutil.Error, OSError):
        return None


def _reap(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.Error):
        process.wait(timeout=0)
