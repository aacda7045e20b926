"""What MLflow is told, asked of a real MLflow server."""

from pathlib import Path
from typing import Any

import pytest

from clarity.errors import StorageError
from clarity.params import Params
from clarity.settings import Settings
from clarity.training.identity import Origin
from clarity.training.tracking import MlflowRun, closing, describe, evaluation

pytestmark = pytest.mark.stack


@pytest.fixture
def uri(stack: Settings) -> str:
    return stack.need("mlflow_tracking_uri")


def seen(run: MlflowRun) -> Any:
    return run._client.get_run(run.run_id)


def test_a_run_holds_parameters_versions_curves_and_files(uri: str, resnet: Params, tmp_path: Path) -> None:
    run = MlflowRun.start(uri, "resnet50")
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "curve.png").write_bytes(b"png")
    with closing(run):
        describe(run, resnet, Origin("abc", "def"), "key")
        for epoch, value in enumerate((0.1, 0.4, 0.6)):
            run.metrics({"val/qwk": value}, step=epoch)
        run.artifact(tmp_path / "plots", "evaluation")
    found = seen(run)
    assert found.info.status == "FINISHED"
    assert found.data.params["train.learning_rate"] == str(resnet.train.learning_rate)
    assert found.data.params["model.backbone"] == "resnet50"
    assert found.data.tags["clarity.data_version"] == "abc"
    assert found.data.tags["clarity.git_commit"] == "def"
    assert found.data.tags["version.torch"]
    curve = run._client.get_metric_history(run.run_id, "val/qwk")
    assert [(point.step, point.value) for point in curve] == [(0, 0.1), (1, 0.4), (2, 0.6)]
    names = {file.path for file in run._client.list_artifacts(run.run_id)}
    assert {"evaluation", "environment.txt"} <= names


def test_a_run_that_fails_is_failed_and_one_that_is_interrupted_is_killed(uri: str) -> None:
    for error, status in ((ValueError("no"), "FAILED"), (KeyboardInterrupt(), "KILLED")):
        run = MlflowRun.start(uri, "x")
        with pytest.raises(type(error)), closing(run):
            raise error
        assert seen(run).info.status == status


def test_a_killed_training_keeps_its_run_and_says_its_parameters_again(
    uri: str, params: Params, tmp_path: Path
) -> None:
    note = tmp_path / "resume" / "run_id"
    first = MlflowRun.of(uri, note, "x")
    describe(first, params, Origin("abc", "def"), "key")
    second = MlflowRun.of(uri, note, "x")
    describe(second, params, Origin("abc", "def"), "key")
    assert second.run_id == first.run_id
    assert seen(second).info.status == "RUNNING"
    note.write_text("0" * 32)
    assert MlflowRun.of(uri, note, "x").run_id not in (first.run_id, "0" * 32)


def test_parameters_are_the_trainings_and_another_evaluation_of_it_is_no_contradiction(
    uri: str, params: Params
) -> None:
    run = MlflowRun.start(uri, "x")
    other = params.model_copy(update={"evaluate": params.evaluate.model_copy(update={"target_sensitivity": 0.55})})
    for one, commit in ((params, "first"), (other, "second")):
        describe(run, one, Origin("abc", "first"), "key")
        run.tags(evaluation(one, Origin("abc", commit)))
    found = seen(run).data
    assert found.params["evaluate.decision"] == params.evaluate.decision
    assert "evaluate.target_sensitivity" not in found.params
    assert found.tags["evaluate.target_sensitivity"] == "0.55"
    assert found.tags["quality.min_score"] == str(params.quality.min_score)
    assert (found.tags["clarity.git_commit"], found.tags["clarity.evaluate_commit"]) == ("first", "second")


def test_a_server_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(StorageError, match=r"127\.0\.0\.1:9"):
        MlflowRun.start("http://127.0.0.1:9", "x")
