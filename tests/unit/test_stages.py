"""The one door for DVC: what dvc.yaml says is there, and a named error is one line."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from clarity import params as parameters
from clarity import stages
from clarity.training import identity

PROJECT = Path(__file__).resolve().parents[2]
DVC = yaml.safe_load((PROJECT / "dvc.yaml").read_text())


def run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "clarity.stages", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_every_stage_of_dvc_is_one_that_the_door_knows() -> None:
    assert list(DVC["stages"]) == list(stages.STAGES)
    for name, stage in DVC["stages"].items():
        assert stage["cmd"] == f"python -B -m clarity.stages {name}"


def test_every_dependency_on_code_exists() -> None:
    for name, stage in DVC["stages"].items():
        for dep in stage["deps"]:
            assert dep == "data" or dep.startswith("artifacts/") or (PROJECT / dep).exists(), (name, dep)


def test_every_parameter_that_dvc_watches_exists() -> None:
    params = parameters.load(PROJECT / "conf/pipeline.yaml")
    for stage in DVC["stages"].values():
        for key in stage["params"][0]["conf/pipeline.yaml"]:
            value: object = params
            for part in key.split("."):
                value = getattr(value, part)


def test_a_stages_inputs_are_outputs_of_the_stages_before() -> None:
    made: set[str] = {"data"}
    for stage in DVC["stages"].values():
        assert {dep for dep in stage["deps"] if not dep.startswith("clarity/")} <= made
        made |= {out if isinstance(out, str) else next(iter(out)) for out in stage["outs"]}


@pytest.mark.parametrize("overlay", ["smoke", "demo", "photographs"])
def test_every_overlay_fits_the_configuration_and_changes_something(overlay: str) -> None:
    base = parameters.load(PROJECT / "conf/pipeline.yaml")
    assert parameters.load(PROJECT / "conf/pipeline.yaml", PROJECT / f"conf/{overlay}.yaml") != base


def test_an_unknown_stage_and_a_missing_configuration_are_one_line_each(tmp_path: Path) -> None:
    unknown = run(tmp_path, "bake")
    assert (unknown.returncode, unknown.stderr.count("\n")) == (2, 1)
    missing = run(tmp_path, "split")
    assert missing.returncode == 1
    assert missing.stderr.startswith("split: conf/pipeline.yaml")
    assert missing.stderr.count("\n") == 1


def test_evaluation_without_a_training_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "pipeline.yaml").write_bytes((PROJECT / "conf" / "pipeline.yaml").read_bytes())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    done = run(tmp_path, "evaluate")
    assert done.returncode == 1
    assert "run.json: missing or malformed, run the stage train" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_codes_hash_changes_with_the_code_and_not_with_the_place(tmp_path: Path) -> None:
    assert identity.code_hash() == identity.code_hash()
    assert len(identity.code_hash()) == 64


def test_outside_git_the_commit_is_unknown(tmp_path: Path) -> None:
    assert identity.git_commit(tmp_path) == "unknown"
    assert identity.git_commit(PROJECT).removesuffix("+changes") != ""
