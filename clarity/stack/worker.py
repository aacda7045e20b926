"""One Prefect worker: runs the deployments of the project's prefect.yaml, each flow run in a process of its own."""

import os
import shutil
import socket
import sys
import tempfile
from datetime import datetime
from pathlib import Path

from clarity.errors import StackError
from clarity.settings import Settings
from clarity.stack import deployments
from clarity.stack.addresses import Home
from clarity.stack.part import Part
from clarity.stack.prefect import Prefect, client, client_environment
from clarity.stack.process import Command, Record

POOL = "clarity"
_INTERRUPTIBLE = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from prefect.cli import app
app()
"""
"""What runs it. Prefect's worker turns SIGTERM into SIGINT, and a process that a shell put into the background, or a
descendant of one, was born with SIGINT ignored: it would sit until it is killed."""
_NOT_ITS_OWN = frozenset(
    ("CLARITY_API_URL", "CLARITY_API_KEY", "CLARITY_SERVING_CONFIG", "CLARITY_IDENTITY_KEYS", "CLARITY_SEARCH_KEY")
)
"""No flow asks the online service or opens an identity: where these change, the worker need not start again."""


class Worker(Part):
    """The worker of the process pool ``clarity``. It has no address; with an external Prefect it works for that."""

    name = "worker"
    needs = ("prefect",)  # a worker exits when it finds no server
    patience_s = 90

    def url(self, settings: Settings) -> str:
        return f"{Prefect().url(settings)}/work-pools/work-pool/{POOL}"

    def command(self, home: Home) -> Command:
        own = {"PREFECT_WORKER_QUERY_SECONDS": "5", "TMPDIR": str(_temporary(home))}
        services = {name: value for name, value in home.settings.environment().items() if name not in _NOT_ITS_OWN}
        variables = services | client_environment(home) | own
        argv = [sys.executable, "-c", _INTERRUPTIBLE, "worker", "start", "--pool", POOL, "--type", "process"]
        folder = home.root / "prefect"
        return Command([*argv, "--name", _name(home), "--install-policy", "never"], variables, folder)

    def check(self, settings: Settings) -> None:
        home = Home(settings)
        record = Record.read(home.record_file(self.name))
        with client(settings) as api:
            answer = api.post(f"/work_pools/{POOL}/workers/filter", json={}).raise_for_status()
        seen = [datetime.fromisoformat(w["last_heartbeat_time"]) for w in answer.json() if w["name"] == _name(home)]
        if not seen or (record is not None and max(seen).timestamp() < record.started):
            raise StackError(f"worker: {_name(home)} has not reported to the pool {POOL!r} yet")

    def trouble(self, home: Home) -> str | None:
        return deployments.trouble(home)

    def finish(self, home: Home) -> str | None:
        record = Record.read(home.record_file(self.name))
        if record is not None and "PREFECT_API_URL" in home.local_addresses():
            _release_lost_runs(home.settings, before=record.started)
        return deployments.register(home)

    def stop(self, home: Home) -> None:
        """End the worker and every flow run of it; their temporary files go, also those that a killed one left."""
        super().stop(home)
        folder = _folder(home)
        if folder.exists() and folder.stat().st_uid == os.geteuid():
            shutil.rmtree(folder, ignore_errors=True)  # what cannot go must not keep the rest of the stack up


def _name(home: Home) -> str:
    return f"{socket.gethostname()}-{home.id}"


def _temporary(home: Home) -> Path:
    """A folder for temporary files of this home alone: Prefect's workers share /tmp/runner_storage otherwise.

    Whose user came first would shut out everybody else. Not below the home, where sockets' paths could get too long.
    """
    folder = _folder(home)
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.geteuid():
        raise StackError(f"{folder}: belongs to user {folder.stat().st_uid}, the worker cannot use it")
    return folder


def _folder(home: Home) -> Path:
    return Path(tempfile.gettempdir()) / f"clarity-{home.id}"


def _release_lost_runs(settings: Settings, *, before: float) -> None:
    """Mark runs as crashed that an earlier worker took with it: Prefect would leave them "Running" for ever.

    They would hold their deployment's only concurrency slot, and no night would be screened again. Only for the
    stack's own server, where this worker is the only one.
    """
    going = {"any_": ["RUNNING", "PENDING", "CANCELLING"]}
    question = {"flow_runs": {"state": {"type": going}}, "work_pools": {"name": {"any_": [POOL]}}, "limit": 200}
    crashed = {"type": "CRASHED", "name": "Crashed", "message": "The worker that ran it was stopped or killed."}
    with client(settings) as api:
        for run in api.post("/flow_runs/filter", json=question).raise_for_status().json():
            if datetime.fromisoformat(run["state"]["timestamp"]).timestamp() < before:
                answer = api.post(f"/flow_runs/{run['id']}/set_state", json={"state": crashed, "force": True})
                answer.raise_for_status()
