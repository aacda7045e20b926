"""The training flow on a real DVC workspace, Prefect, MLflow and PostgreSQL; its stages are small scripts.

The stages write what Clarity's own write, from files that the test puts there: so a test decides how good a challenger
is, and a run takes seconds. One test runs the flow over the real stages and a really trained model.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import psutil
import pytest
import typer
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.sorting import TaskRunSort
from typer.testing import CliRunner

from clarity import params as parameters
from clarity.cli import model as command
from clarity.data.ingest import ingest
from clarity.data.workspace import Workspace
from clarity.errors import AlreadyRunning, WorkspaceError
from clarity.imaging import fingerprint
from clarity.inference.bundle import Bundle
from clarity.inference.engine import Engine
from clarity.inference.grader import Graded, Grader
from clarity.params import Params
from clarity.registry import ledger, promotion
from clarity.registry.models import Registry
from clarity.settings import Settings
from clarity.storage import database
from clarity.storage.objects import Objects
from flows.train import train
from tests import tiny
from tests.conftest import PROJECT
from tests.integration.registering import new_name, new_run
from tests.integration.test_ingest import TWELVE, ingest_and_die, source, state

pytestmark = pytest.mark.stack

STAGES = """
stages:
  second:
    cmd: {python} stage.py second
    deps: [first.txt, input]
    outs: [artifacts/bundle, artifacts/evaluation, artifacts/run.json]
  first:
    cmd: {python} stage.py first
    deps: [input/bundle]
    outs: [first.txt]
"""
STAGE = """
import pathlib, shutil, sys, time
print("hello from", sys.argv[1], flush=True)
if pathlib.Path("input/fail").exists():
    sys.exit("no luck today")
if pathlib.Path("input/last").exists():
    pathlib.Path("waits").touch()
    time.sleep(120)
if sys.argv[1] == "first":
    pathlib.Path("first.txt").write_text("first")
else:
    pathlib.Path("artifacts/evaluation").mkdir(parents=True)
    shutil.copytree("input/bundle", "artifacts/bundle")
    shutil.copy("input/predictions.csv", "artifacts/evaluation/predictions.csv")
    shutil.copy("input/tags.json", "artifacts/evaluation/tags.json")
    shutil.copy("input/run.json", "artifacts/run.json")
"""
COUNT = 120


@dataclass
class Bench:
    """A workspace whose next challenger the test chooses."""

    path: Path
    name: str
    registry: Registry
    engine: database.Engine

    def challenger(self, bundle: Path, noise: float, *, run: bool = True) -> None:
        """The next training gives this bundle, with predictions as noisy as said; ``run`` in a new MLflow run."""
        given = self.path / "input"
        shutil.rmtree(given / "bundle", ignore_errors=True)
        shutil.copytree(bundle, given / "bundle")
        predictions(noise).to_csv(given / "predictions.csv", index=False)
        (given / "tags.json").write_text(json.dumps({"evaluate.target_sensitivity": str(noise)}))
        if run:
            (given / "run.json").write_text(json.dumps({"run_id": new_run(self.registry)}))

    def gate(self, **changes: Any) -> None:
        file = self.path / "conf/pipeline.yaml"
        params = parameters.load(file)
        file.write_text(parameters.dump(params.model_copy(update={"gate": params.gate.model_copy(update=changes)})))

    def rows(self) -> list[tuple[str, str]]:
        return [(entry.version, entry.action) for entry in ledger.history(self.engine, self.name)]


def split() -> pd.DataFrame:
    """Two photographs a patient, all grades alike."""
    return pd.DataFrame(
        {
            "sha256": [f"{i:064x}" for i in range(COUNT)],
            "patient": [f"clinic:{i // 2}" for i in range(COUNT)],
            "source": "clinic",
            "eye": "left",
            "grade": [(i * 7) % 5 for i in range(COUNT)],
            "split": "test",
        }
    )


def predictions(noise: float) -> pd.DataFrame:
    frame = split()
    heard = frame["grade"].to_numpy() + np.random.default_rng(0).normal(0, noise, COUNT)
    scores = np.exp(-3 * (np.arange(5)[None] - heard[:, None]) ** 2)
    frame[["p0", "p1", "p2", "p3", "p4"]] = scores / scores.sum(axis=1, keepdims=True)
    return frame


@pytest.fixture(scope="module")
def bundles(tiny_bundles: list[Bundle]) -> list[Path]:
    """Two models; on the photographs of the bench, which are noise, both of them only guess."""
    return [one.path for one in tiny_bundles[1:]]


@pytest.fixture
def bench(settings: Settings, tmp_path: Path, bundles: list[Path]) -> Iterator[Bench]:
    path, name = tmp_path / "workspace", new_name()
    for folder in ("conf", "input", "artifacts/prepared"):
        (path / folder).mkdir(parents=True)
    base = tiny.PARAMS
    model, gate = base.model.model_copy(update={"name": name}), base.gate.model_copy(update={"bootstrap": 200})
    params = base.model_copy(update={"model": model, "gate": gate, "imaging": tiny.IMAGING})
    (path / "conf/pipeline.yaml").write_text(parameters.dump(params))
    (path / "dvc.yaml").write_text(STAGES.format(python=sys.executable))
    (path / "stage.py").write_text(STAGE)
    split().to_csv(path / "artifacts/split.csv", index=False)
    index = {
        "shard": "00",
        "row": range(COUNT),
        "fingerprint": fingerprint(tiny.IMAGING),
        "score": 0.9,
        "gradable": True,
        "reasons": "",
    }
    pd.DataFrame({"sha256": split()["sha256"], **index}).to_csv(path / "artifacts/prepared/index.csv", index=False)
    noise = np.random.default_rng(0).integers(0, 255, (COUNT, tiny.SIZE, tiny.SIZE, 3), dtype=np.uint8)
    np.save(path / "artifacts/prepared/00.npy", noise)
    engine = database.engine(settings.need("database_url"))
    made = Bench(path, name, Registry(settings.need("mlflow_tracking_uri")), engine)
    made.challenger(bundles[0], 0.3)
    yield made
    engine.dispose()


def test_a_first_model_above_the_floors_is_promoted_and_a_person_sees_why(bench: Bench) -> None:
    state = train(str(bench.path), return_state=True)
    facts = state.result()
    assert facts["stages"] == {"first": "ran", "second": "ran"}
    assert (facts["decision"], facts["version"], facts["champion"]) == ("promoted", "1", None)
    assert bench.registry.champion(bench.name).version == "1"
    # the ledger
    assert bench.rows() == [("1", "promoted")]
    entry = ledger.history(bench.engine, bench.name)[0]
    assert entry.actor.startswith("flow train/")
    assert entry.reasons == tuple(facts["reasons"])
    assert entry.figures["qwk"] == pytest.approx(facts["figures"]["qwk"])
    # MLflow, on the version and on the run
    tags = bench.registry.tags(bench.registry.get(bench.name, "1"))
    assert tags["clarity.gate"] == "promoted"
    assert tags["clarity.gate_reasons"] == "\n".join(facts["reasons"])
    assert bench.registry.client.get_run(facts["run_id"]).data.tags["clarity.gate"] == "promoted"
    # Prefect: a task a stage, in DVC's order and not in the file's, then what follows; the verdict as an artifact
    assert "promoted" in str(state.message)
    names, said = seen_in_prefect(state.state_details.flow_run_id)
    assert names == ["first", "second", "register", "gate", "promote"]
    assert any("QWK" in text and "promoted" in text for text in said)


def seen_in_prefect(run: UUID | None) -> tuple[list[str], list[str]]:
    """The names of a run's tasks in order, and the texts of its artifacts."""
    assert run is not None
    mine = FlowRunFilter(id=FlowRunFilterId(any_=[run]))
    with get_client(sync_client=True) as client:
        tasks = client.read_task_runs(flow_run_filter=mine, sort=TaskRunSort.EXPECTED_START_TIME_ASC, limit=50)
        # not client.read_artifacts: it sends null for the filters that are not given, and the server refuses them
        said = client.request("POST", "/artifacts/filter", json={"flow_runs": mine.model_dump(mode="json")}).json()
    return [found.name.rsplit("-", 1)[0] for found in tasks], [str(found["data"]) for found in said]


def test_again_without_a_change_nothing_is_made_but_a_promotion_that_died_half_way_is_completed(bench: Bench) -> None:
    first = train(str(bench.path))
    facts = train(str(bench.path))
    assert facts["stages"] == {"first": "cached", "second": "cached"}
    assert (facts["decision"], facts["version"], facts["again"]) == ("champion", "1", True)
    assert facts["run_id"] == first["run_id"]
    assert len(bench.registry.list(bench.name)) == 1
    assert bench.rows() == [("1", "promoted")]
    bench.registry.client.delete_registered_model_alias(bench.name, "champion")
    assert train(str(bench.path))["decision"] == "champion"
    assert bench.registry.champion(bench.name).version == "1"
    assert bench.rows() == [("1", "promoted")]


@pytest.mark.parametrize(("decision", "later", "floor"), [("promoted", "champion", 0.0), ("refused", "refused", 1.1)])
def test_tags_that_a_dead_run_did_not_write_are_written_by_the_next_as_the_ledger_says(
    bench: Bench, decision: str, later: str, floor: float
) -> None:
    bench.gate(min_qwk=floor)
    first = train(str(bench.path))
    client, ref = bench.registry.client, bench.registry.get(bench.name, "1")
    for key in ("clarity.gate", "clarity.gate_reasons"):
        client.delete_model_version_tag(ref.name, ref.version, key)
        client.delete_tag(ref.run_id, key)
    facts = train(str(bench.path))
    assert (facts["decision"], facts["again"]) == (later, True)
    for tags in (bench.registry.tags(ref), client.get_run(ref.run_id).data.tags):
        assert tags["clarity.gate"] == decision
        assert tags["clarity.gate_reasons"] == "\n".join(first["reasons"])
    assert bench.rows() == [("1", decision)]


def test_each_version_of_a_run_says_what_it_was_evaluated_with_and_the_run_what_the_last_one_was(
    bench: Bench, bundles: list[Path]
) -> None:
    bench.gate(min_qwk=1.1)
    train(str(bench.path))
    bench.challenger(bundles[1], 0.4, run=False)
    facts = train(str(bench.path))
    key = "evaluate.target_sensitivity"
    versions = [bench.registry.get(bench.name, number) for number in ("1", "2")]
    assert [ref.run_id for ref in versions] == [facts["run_id"]] * 2
    assert [bench.registry.tags(ref)[key] for ref in versions] == ["0.3", "0.4"]
    assert bench.registry.client.get_run(facts["run_id"]).data.tags[key] == "0.4"


def test_a_better_challenger_replaces_the_champion_and_once_a_person_rolled_it_back_is_not_promoted_by_itself(
    bench: Bench, bundles: list[Path]
) -> None:
    train(str(bench.path))
    bench.challenger(bundles[1], 0.3)
    facts = train(str(bench.path))
    assert (facts["decision"], facts["version"], facts["champion"]) == ("promoted", "2", "1")
    assert any(f"on the same {COUNT} photographs" in reason for reason in facts["reasons"])
    # the champion was scored anew: its network guesses, whatever its own training once recorded
    assert abs(facts["figures"]["champion_qwk"]) < 0.4
    assert bench.registry.version_of(bench.name, "previous") == "1"
    promotion.rollback(bench.registry, bench.engine, bench.name, actor="ada", reasons=("worse at night",))
    facts = train(str(bench.path))
    assert (facts["decision"], facts["version"], facts["champion"]) == ("withdrawn", "2", "1")
    assert bench.registry.champion(bench.name).version == "1"
    assert bench.rows() == [("1", "promoted"), ("2", "promoted"), ("1", "rolled back")]


def test_a_refused_challenger_is_a_completed_run_named_refused_and_the_champion_stays_until_a_person_says_otherwise(
    bench: Bench, bundles: list[Path]
) -> None:
    train(str(bench.path))
    bench.challenger(bundles[1], 3.0)
    state = train(str(bench.path), return_state=True)
    assert state.is_completed()
    assert state.name == "Refused"
    facts = state.result()
    assert facts["decision"] == "refused"
    assert any(reason.startswith("failed: QWK") for reason in facts["reasons"])
    assert bench.registry.champion(bench.name).version == "1"
    assert bench.rows() == [("1", "promoted"), ("2", "refused")]
    assert bench.registry.version_of(bench.name, "challenger") == "2"
    a_person_lists_shows_promotes_and_rolls_back(bench)


def a_person_lists_shows_promotes_and_rolls_back(bench: Bench) -> None:
    """Version 1 is the champion, 2 was refused."""
    app, run = typer.Typer(), CliRunner()
    command.register(app)
    named = ["--name", bench.name]
    listed = run.invoke(app, ["model", "list", *named]).output
    assert [line.split()[:3] for line in listed.splitlines()[1:]] == [
        ["2", "challenger", "refused"],
        ["1", "champion", "promoted"],
    ]
    shown = run.invoke(app, ["model", "show", "2", *named]).output
    assert "refused by flow train/" in shown
    assert run.invoke(app, ["model", "promote", "2", *named]).exit_code == 2  # without a reason
    by_hand = run.invoke(app, ["model", "promote", "2", "--why", "a trial", "--who", "ada", *named])
    assert "version 2 is the champion" in by_hand.output
    back = run.invoke(app, ["model", "rollback", "--why", "trial over", "--who", "ada", *named])
    assert "version 1 is the champion again" in back.output
    facts = json.loads(run.invoke(app, ["model", "show", "--json", *named]).output)
    assert [(row["action"], row["actor"], row["reasons"]) for row in facts["ledger"]][1:] == [
        ("rolled back", "ada", ["trial over"])
    ]


def test_a_refused_challenger_is_judged_once_and_again_when_a_floor_changes(bench: Bench, bundles: list[Path]) -> None:
    bench.gate(min_specificity=0.9999, min_qwk=0.9999)
    bench.challenger(bundles[0], 0.5)
    assert train(str(bench.path))["decision"] == "refused"
    again = train(str(bench.path))
    assert (again["decision"], again["again"]) == ("refused", True)
    assert again["reasons"][0].startswith("already judged on ")
    assert bench.rows() == [("1", "refused")]
    bench.gate(min_specificity=0.0, min_qwk=0.0, note="lower now")
    facts = train(str(bench.path))
    assert facts["stages"] == {"first": "cached", "second": "cached"}
    assert (facts["decision"], facts["version"]) == ("promoted", "1")
    assert facts["reasons"][-1] == "note: lower now"
    assert bench.rows() == [("1", "refused"), ("1", "promoted")]


def test_a_stage_that_fails_is_a_failed_run_that_says_why_and_promotes_nothing(bench: Bench) -> None:
    (bench.path / "input/fail").touch()
    with pytest.raises(WorkspaceError, match="no luck today"):
        train(str(bench.path))
    assert bench.rows() == []
    assert list(bench.registry.list(bench.name)) == []
    (bench.path / "input/fail").unlink()
    assert train(str(bench.path))["decision"] == "promoted"


def test_a_training_that_is_told_to_end_leaves_no_process_and_the_next_goes_on(bench: Bench) -> None:
    (bench.path / "input/last").touch()
    command = [sys.executable, "-m", "clarity", "train", "--workspace", str(bench.path)]
    child = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while child.poll() is None and not (bench.path / "waits").exists():
        time.sleep(0.1)
    child.terminate()
    assert child.wait(60) != 0
    assert [found.pid for found in psutil.process_iter(["cwd"]) if found.info["cwd"] == str(bench.path)] == []
    (bench.path / "input/last").unlink()
    assert train(str(bench.path))["decision"] == "promoted"


def test_a_second_writer_of_the_workspace_is_refused(bench: Bench, settings: Settings) -> None:
    other = Workspace(bench.path, settings)
    other.init()
    with other.lock(), pytest.raises(AlreadyRunning, match="another"):
        train(str(bench.path))
    assert bench.rows() == []


def test_a_training_after_a_killed_ingest_is_on_the_version_of_before(
    bench: Bench, settings: Settings, params: Params, tmp_path: Path
) -> None:
    place = Workspace(bench.path, settings.model_copy(update={"home": tmp_path / "home"}))
    place.init()
    ingest(place, "eyepacs", source(tmp_path / "one", TWELVE), params, Objects(settings))
    before = state(place)
    ingest_and_die(place, params, source(tmp_path / "two", {"90_left": 1}, first_seed=100), "dvc push")
    assert state(place) != before
    train(str(bench.path))
    assert state(place) == before
    # and where data/ is not what data.dvc names, nothing is trained in its name
    shutil.rmtree(bench.path / "data" / "photographs")
    with pytest.raises(WorkspaceError, match="of 12 photographs, and data/ is not that but holds 0; `clarity data ch"):
        train(str(bench.path))


def test_the_real_stages_end_in_a_promoted_model_that_grades(
    workspace: Path, settings: Settings, tmp_path: Path
) -> None:
    """Prepare, split, train and evaluate as they are; DVC has their results, and the rest follows from them."""
    facts = train(str(workspace))
    assert facts["stages"] == dict.fromkeys(("prepare", "split", "train", "evaluate"), "cached")
    assert list(facts["stages"])[-2:] == ["train", "evaluate"]
    assert facts["decision"] in ("promoted", "champion")  # another test of the session may have promoted it
    registry = Registry(settings.need("mlflow_tracking_uri"))
    champion = registry.champion(parameters.load(workspace / "conf/pipeline.yaml").model.name)
    assert champion.run_id == facts["run_id"]
    loaded = Bundle.load(registry.fetch(champion, tmp_path / "models"))
    with Grader(loaded, Engine.load(loaded), champion.version) as grader:
        (graded,) = grader.grade([tiny.jpeg(tiny.eye())])
    assert isinstance(graded, Graded)


def test_the_command_ends_with_3_when_the_gate_refuses_and_with_0_when_it_promotes(bench: Bench) -> None:
    app = typer.Typer()
    command.register(app)
    bench.gate(min_qwk=1.1)
    refused = CliRunner().invoke(app, ["train", "--workspace", str(bench.path)])
    assert refused.exit_code == command.REFUSED == 3
    assert "refused by the gate" in refused.output
    assert "floor 1.100" in refused.output
    bench.gate(min_qwk=0.5)
    promoted = CliRunner().invoke(app, ["train", "--workspace", str(bench.path), "--json"])
    assert promoted.exit_code == 0
    assert json.loads(promoted.stdout)["decision"] == "promoted"
