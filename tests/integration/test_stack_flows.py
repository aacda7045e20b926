"""The whole stack of a home of its own: schedules that fire, workers that die, everything killed and back again."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml
from sqlalchemy import func, select

from clarity import stack as local
from clarity.inference.bundle import Bundle
from clarity.registry import promotion
from clarity.registry.models import Registry
from clarity.settings import Settings
from clarity.stack.addresses import Home
from clarity.stack.parts import PARTS
from clarity.storage import database, tables
from clarity.storage.objects import Objects
from tests import tiny
from tests.integration.registering import new_name, new_run

PROJECT = Path(__file__).resolve().parents[2]

FLOW = '''
import os, pathlib, time
from prefect import flow

@flow
def screen(seconds: float = 0.0) -> str:
    """A flow that says where it ran, and takes its time."""
    with pathlib.Path(os.environ["CLARITY_HOME"], "fired").open("a") as file:
        file.write(os.getcwd() + "\\n")
    time.sleep(seconds)
    return "done"
'''


class Api:
    """The few questions of these tests to Prefect's server."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.need("prefect_api_url")

    def post(self, path: str, question: dict[str, Any]) -> Any:
        return httpx.post(self._url + path, json=question, timeout=30, trust_env=False).raise_for_status().json()

    def runs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.post("/flow_runs/filter", {"sort": "EXPECTED_START_TIME_ASC"})
        return found

    def deployment(self, name: str) -> dict[str, Any]:
        (found,) = self.post("/deployments/filter", {"deployments": {"name": {"any_": [name]}}})
        return dict(found)

    def ask_for(self, name: str, **parameters: object) -> str:
        answer = self.post(f"/deployments/{self.deployment(name)['id']}/create_flow_run", {"parameters": parameters})
        return str(answer["id"])

    def state(self, run: str) -> dict[str, Any]:
        answer = httpx.get(f"{self._url}/flow_runs/{run}", timeout=30, trust_env=False)
        return dict(answer.raise_for_status().json()["state"])


def until(told: Callable[[], bool], seconds: float) -> bool:
    """Whether it becomes true in time."""
    deadline = time.monotonic() + seconds
    while not told():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """All parts, with a project whose prefect.yaml is the real one, but screens every minute, with a tiny flow."""
    project = tmp_path_factory.mktemp("project")
    (project / "flows").mkdir()
    (project / "flows" / "screen.py").write_text(FLOW)
    shutil.copytree(PROJECT / "conf", project / "conf")
    deployed = (PROJECT / "prefect.yaml").read_text()
    assert '"0 2 * * *"' in deployed
    (project / "prefect.yaml").write_text(deployed.replace('"0 2 * * *"', '"* * * * *"'))
    settings = Settings(CLARITY_HOME=tmp_path_factory.mktemp("whole") / "home", CLARITY_PROJECT=project)
    addresses = ("database_url", "s3_endpoint_url", "mlflow_tracking_uri", "prefect_api_url", "api_url")
    settings = settings.model_copy(update=dict.fromkeys(addresses))
    addressed = local.up(settings).settings
    yield addressed
    local.down(addressed)
    assert everything(addressed) == []


def everything(settings: Settings) -> list[psutil.Process]:
    """Every living process of the stack, to the last child."""
    return [found for part in PARTS for found in part.processes(Home(settings))]


def kill(process: psutil.Process | int | None) -> None:
    assert process is not None
    pid = process if isinstance(process, int) else process.pid
    try:
        os.kill(pid, signal.SIGKILL)
        psutil.Process(pid).wait(10)
    except (ProcessLookupError, psutil.NoSuchProcess):
        pass  # an earlier victim took it along


def test_the_projects_own_prefect_yaml_screens_every_night_in_a_named_time_zone_one_night_at_a_time() -> None:
    declared = {entry["name"]: entry for entry in yaml.safe_load((PROJECT / "prefect.yaml").read_text())["deployments"]}
    assert set(declared) == {"ingest", "train", "screen"}
    (nightly,) = declared["screen"]["schedules"]
    assert nightly["cron"] == "0 2 * * *"
    assert nightly["timezone"]
    assert nightly["slug"]  # without one, schedules double
    assert [declared[name]["concurrency_limit"]["limit"] for name in declared] == [1, 1, 1]
    for entry in declared.values():
        assert (PROJECT / entry["entrypoint"].partition(":")[0]).exists()


def test_every_part_runs_and_listens_on_loopback_alone(whole: Settings) -> None:
    assert {part.name: part.state for part in local.status(whole)} == dict.fromkeys(
        ("postgres", "s3", "prefect", "mlflow", "serving", "worker"), "running"
    )
    listening = [
        connection.laddr.ip
        for process in everything(whole)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 14  # the object store alone has twelve
    assert set(listening) == {"127.0.0.1"}


def test_services_by_address_are_used_and_nothing_local_is_started_for_them(
    whole: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in whole.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CLARITY_HOME", str(tmp_path / "other"))
    services = ("postgres", "s3", "prefect", "mlflow")
    started = local.up(Settings.load(), parts=services)
    assert started.names == ()
    assert everything(started.settings) == []
    told = {part.name: part for part in local.status(Settings.load())}
    assert {(told[name].state, told[name].external) for name in services} == {("running", True)}
    theirs, ours = Objects(whole), Objects(Settings.load())
    ours.put("by/address", b"the same store")
    assert theirs.get("by/address") == b"the same store"
    name = new_name()
    Registry(started.settings.need("mlflow_tracking_uri")).client.create_registered_model(name)
    assert Registry(whole.need("mlflow_tracking_uri")).client.get_registered_model(name).name == name


def test_the_schedule_fires_by_itself_in_the_projects_folder(whole: Settings) -> None:
    fired = whole.home / "fired"
    assert until(lambda: fired.exists(), 150), [run["state"] for run in Api(whole).runs()]
    assert set(fired.read_text().split()) == {str(whole.project)}
    assert until(lambda: any(run["state"]["type"] == "COMPLETED" for run in Api(whole).runs()), 120)
    assert all(run["auto_scheduled"] for run in Api(whole).runs())


def test_deploying_again_doubles_neither_deployment_nor_schedule(whole: Settings) -> None:
    file = whole.project / "prefect.yaml"
    file.write_text(
        file.read_text().replace("* * * * *", "30 3 * * *").replace("timezone: UTC", "timezone: Asia/Kolkata")
    )
    assert local.up(whole).names == ()
    (schedule,) = Api(whole).deployment("screen")["schedules"]
    assert (schedule["schedule"]["cron"], schedule["schedule"]["timezone"]) == ("30 3 * * *", "Asia/Kolkata")


def test_a_run_whose_worker_was_killed_is_told_as_crashed_and_does_not_block_the_next(whole: Settings) -> None:
    api = Api(whole)
    assert until(lambda: not any(run["state"]["type"] in ("PENDING", "RUNNING") for run in api.runs()), 90)
    lost = api.ask_for("screen", seconds=600)
    assert until(lambda: api.state(lost)["type"] == "RUNNING", 120)
    for process in PARTS[-1].processes(Home(whole)):
        kill(process)
    told = {part.name: part for part in local.status(whole)}
    assert told["worker"].state == "dead"
    assert told["worker"].log_tail
    assert local.up(whole).names == ("worker",)
    assert api.state(lost)["type"] == "CRASHED"
    following = api.ask_for("screen")
    assert until(lambda: api.state(following)["type"] == "COMPLETED", 180), api.state(following)


def test_a_worker_that_was_started_in_the_background_of_a_shell_ends_when_it_is_asked_to(whole: Settings) -> None:
    local.down(whole, parts=("worker",))
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does for what it runs with "&"
    try:
        local.up(whole)
        begun = time.monotonic()
        assert local.down(whole, parts=("worker",)) == ["worker"]
        assert time.monotonic() - begun < 19  # after 20 s it would have been killed
    finally:
        signal.signal(signal.SIGINT, before)
        local.up(whole)


def test_a_flow_file_that_cannot_be_loaded_is_told_and_keeps_nothing_down(whole: Settings) -> None:
    file = whole.project / "flows" / "screen.py"
    file.write_text("this is no Python\n")
    local.up(whole)
    (worker,) = [part for part in local.status(whole) if part.name == "worker"]
    assert worker.state == "unhealthy"
    assert "prefect.yaml not deployed: screen" in worker.detail
    file.write_text(FLOW)
    local.up(whole)
    assert {part.state for part in local.status(whole)} == {"running"}


def test_after_kill_9_of_everything_the_next_up_brings_all_of_it_back(whole: Settings) -> None:
    mlflow = whole.need("mlflow_tracking_uri") + "/api/2.0"
    answer = httpx.post(f"{mlflow}/mlflow/experiments/create", json={"name": "kept"}, trust_env=False, timeout=30)
    artifact = f"{mlflow}/mlflow-artifacts/artifacts/{answer.raise_for_status().json()['experiment_id']}/kept.bin"
    httpx.put(artifact, content=b"x" * 200_000, trust_env=False, timeout=30).raise_for_status()
    runs = {run["id"] for run in Api(whole).runs()}
    for process in everything(whole):
        kill(process)
    assert everything(whole) == []
    assert {part.state for part in local.status(whole)} == {"dead"}
    assert set(local.up(whole).names) == {part.name for part in PARTS}
    assert {part.state for part in local.status(whole)} == {"running"}
    assert httpx.get(artifact, trust_env=False, timeout=30).raise_for_status().content == b"x" * 200_000
    question = {"experiment_name": "kept"}
    kept = httpx.get(f"{mlflow}/mlflow/experiments/get-by-name", params=question, trust_env=False, timeout=30)
    assert kept.status_code == 200
    assert runs <= {run["id"] for run in Api(whole).runs()}
    again = Api(whole).ask_for("screen")
    assert until(lambda: Api(whole).state(again)["type"] == "COMPLETED", 180)


def test_the_nightly_deployment_screens_what_lies_in_the_inbox_by_itself(whole: Settings, tiny_bundle: Bundle) -> None:
    """The project's own flow, configuration and deployment; only the hour is another."""
    shutil.copytree(PROJECT / "flows", whole.project / "flows", dirs_exist_ok=True)
    engine, objects = database.engine(whole.need("database_url")), Objects(whole)
    registry = Registry(whole.need("mlflow_tracking_uri"))
    ref = registry.register(tiny_bundle.path, new_run(registry), tiny.PARAMS.model.name)
    promotion.promote(registry, engine, ref, actor="test", reasons=["for the test"])
    for number in range(2):
        objects.put(f"inbox/{number}.jpg", tiny.jpeg(tiny.eye(seed=number)))
        sidecar = {"patient": "P1", "eye": ("left", "right")[number], "visit": "v1"}
        objects.put(f"inbox/{number}.jpg.json", json.dumps(sidecar).encode())
    deployed = (PROJECT / "prefect.yaml").read_text()
    (whole.project / "prefect.yaml").write_text(deployed.replace('"0 2 * * *"', '"* * * * *"'))
    local.up(whole)

    def written() -> tuple[int, int]:
        with database.session(engine) as session:
            of = [
                session.scalar(select(func.count()).select_from(table)) for table in (tables.Prediction, tables.Outcome)
            ]
        return of[0] or 0, of[1] or 0

    assert until(lambda: written() == (2, 1), 240), (written(), [run["state"] for run in Api(whole).runs()])
    last = next(run for run in reversed(Api(whole).runs()) if run["start_time"])
    assert last["auto_scheduled"]
    assert until(lambda: Api(whole).state(last["id"])["type"] == "COMPLETED", 60)
    engine.dispose()
