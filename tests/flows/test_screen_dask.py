"""The same night on a real Dask cluster: workers that die, clusters that are not there."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from sqlalchemy import func, select

from clarity import params as parameters
from clarity.errors import ScreeningIncomplete
from clarity.inference.bundle import Bundle
from clarity.registry import promotion
from clarity.registry.models import Registry
from clarity.settings import Settings
from clarity.storage import database, runs, tables
from clarity.storage.objects import Objects
from flows import runners
from flows.screen import screen
from tests import tiny
from tests.integration.registering import new_name, new_run

PATIENTS = 12
CAPTURES = 2 * PATIENTS


@pytest.fixture
def engine(settings: Settings) -> Iterator[database.Engine]:
    made = database.engine(settings.need("database_url"))
    with temporary_settings({PREFECT_API_URL: settings.need("prefect_api_url")}):
        yield made
    made.dispose()


@pytest.fixture
def config(settings: Settings, engine: database.Engine, tmp_path: Path, tiny_bundle: Bundle) -> list[str]:
    """Two workers, chunks of one visit, and a champion of the test's own."""
    base = parameters.load(settings.project / "conf/pipeline.yaml")
    model = base.model.model_copy(update={"name": new_name()})
    changed = {"batch_size": 2, "overlay_size": 128, "runner": "dask", "workers": 2}
    screening = base.screening.model_copy(update=changed)
    file = tmp_path / "screen.yaml"
    file.write_text(parameters.dump(base.model_copy(update={"model": model, "screening": screening})))
    registry = Registry(settings.need("mlflow_tracking_uri"))
    ref = registry.register(tiny_bundle.path, new_run(registry), model.name)
    promotion.promote(registry, engine, ref, actor="test", reasons=["for the test"])
    return [str(file)]


@pytest.fixture
def objects(settings: Settings) -> Objects:
    """Both eyes of each patient."""
    made = Objects(settings)
    for number in range(CAPTURES):
        made.put(f"inbox/{number}.jpg", tiny.jpeg(tiny.eye(seed=number)))
        sidecar = {"patient": f"P{number // 2}", "eye": ("left", "right")[number % 2], "visit": "v1"}
        made.put(f"inbox/{number}.jpg.json", json.dumps(sidecar).encode())
    return made


def test_a_worker_killed_over_a_chunk_costs_time_and_nothing_else(
    engine: database.Engine, objects: Objects, config: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with cluster(workers=2) as (address, workers):
        monkeypatch.setenv("CLARITY_DASK_ADDRESS", address)
        with at_the_same_time(lambda: kill_over_a_chunk(engine, workers)) as killed:
            summary = screen(config, "night-1")
    assert killed == [True]
    assert (summary["status"], summary["scored"], summary["failed"]) == ("completed", CAPTURES, 0)
    expect_everything_once(engine, objects)


def test_on_this_machine_a_killed_worker_is_replaced(
    engine: database.Engine, objects: Objects, config: list[str]
) -> None:
    def kill() -> bool:
        return kill_over_a_chunk(engine, own_workers(2))

    with at_the_same_time(kill) as killed:
        summary = screen(config, "night-1")
    assert killed == [True]
    assert (summary["status"], summary["scored"], summary["failed"]) == ("completed", CAPTURES, 0)
    expect_everything_once(engine, objects)


def test_an_address_where_nobody_answers_ends_the_night_visibly(
    engine: database.Engine, objects: Objects, config: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runners, "_CONNECT_S", 1.0)
    with monkeypatch.context() as patch:
        patch.setenv("CLARITY_DASK_ADDRESS", "tcp://127.0.0.1:9")
        with pytest.raises(ScreeningIncomplete, match=r"Dask tcp://127\.0\.0\.1:9: no scheduler with a worker"):
            screen(config, "night-1")
    with database.session(engine) as session:
        run = runs.get(session, "night-1")
    assert run is not None and run.status == "failed" and run.counts["registered"] == CAPTURES


def expect_everything_once(engine: database.Engine, objects: Objects) -> None:
    with database.session(engine) as session:
        states = dict(
            session.execute(select(tables.Scan.state, func.count()).group_by(tables.Scan.state)).tuples().all()
        )
        predictions = session.scalars(select(tables.Prediction.sha256)).all()
        outcomes = session.scalar(select(func.count()).select_from(tables.Outcome))
        leases = session.scalar(select(func.count()).select_from(tables.Lease))
    assert states == {"scored": CAPTURES}
    assert len(predictions) == len(set(predictions)) == CAPTURES
    assert (outcomes, leases) == (PATIENTS, 0)
    assert len(list(objects.list("heatmaps/"))) == CAPTURES


def kill_over_a_chunk(engine: database.Engine, workers: list[psutil.Process]) -> bool:
    """SIGKILL a worker that holds a lease: stopped first, its lease is the one that does not go away."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if not held(engine):
            time.sleep(0.01)
            continue
        workers[0].suspend()
        before = held(engine)
        time.sleep(1.0)  # the other worker finishes its chunk, and takes others
        if before & held(engine):
            workers[0].kill()
            return True
        workers[0].resume()
    return False


def held(engine: database.Engine) -> set[str]:
    with database.session(engine) as session:
        return set(session.scalars(select(tables.Lease.owner).where(tables.Lease.until > func.now())))


@contextmanager
def at_the_same_time(action: Callable[[], bool]) -> Iterator[list[bool]]:
    results: list[bool] = []
    thread = threading.Thread(target=lambda: results.append(action()))
    thread.start()
    yield results
    thread.join()


@contextmanager
def cluster(workers: int) -> Iterator[tuple[str, list[psutil.Process]]]:
    """A scheduler and workers as an operator starts them, without a nanny that would replace a dead one."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    scheduler = ["scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    worker = ["worker", address, "--no-nanny", "--nthreads", "1", "--host", "127.0.0.1", "--no-dashboard"]
    environment = os.environ | {"CLARITY_CORES": "1"}
    started = [
        subprocess.Popen([sys.executable, "-m", "dask", *args], env=environment)
        for args in [scheduler, *[worker] * workers]
    ]
    try:
        yield address, [psutil.Process(process.pid) for process in started[1:]]
    finally:
        for process in started:
            process.kill()
            process.wait()


def told(process: psutil.Process) -> str:
    """What a process was started with; nothing where it has ended since it was listed."""
    with suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""


def own_workers(number: int) -> list[psutil.Process]:
    """The processes of the cluster that the flow has made, as soon as they are there."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        children = psutil.Process().children(recursive=True)
        found = [child for child in children if "spawn_main" in told(child)]
        if len(found) >= number:
            return found
        time.sleep(0.05)
    raise AssertionError("no workers")
