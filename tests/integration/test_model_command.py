"""``clarity model`` on a real registry: which model is meant where nobody says it."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from clarity import params as parameters
from clarity.cli import app
from clarity.errors import NoModel
from clarity.inference.bundle import Bundle
from clarity.params import Params
from clarity.registry.models import Registry
from clarity.settings import Settings
from tests.integration.registering import new_name, new_run

pytestmark = pytest.mark.stack


@pytest.fixture
def name(settings: Settings, tiny_bundle: Bundle) -> str:
    """A model with one version."""
    registry = Registry(settings.need("mlflow_tracking_uri"))
    return registry.register(tiny_bundle.path, new_run(registry), new_name()).name


@pytest.fixture
def project(tmp_path: Path, params: Params, name: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of which another model, without a version, is the configuration's, and ``name`` an overlay's."""
    (tmp_path / "conf").mkdir()
    another = params.model.model_copy(update={"name": new_name()})
    (tmp_path / "conf/pipeline.yaml").write_text(parameters.dump(params.model_copy(update={"model": another})))
    (tmp_path / "conf/ours.yaml").write_text(f"model: {{name: {name}}}\n")
    monkeypatch.setenv("CLARITY_PROJECT", str(tmp_path))
    return tmp_path


OURS = ("--config", "conf/pipeline.yaml", "--config", "conf/ours.yaml")


def call(*words: str) -> Result:
    return CliRunner().invoke(app, ["model", *words])


def test_the_model_of_the_projects_configuration_is_meant_unless_another_is_named(project: Path, name: str) -> None:
    assert call("list", *OURS).stdout == call("list", "--name", name).stdout
    assert call("show", "1", *OURS).stdout.startswith(f"{name} version 1")
    assert f"{name} version 1 is the champion" in call("promote", "1", "--why", "a trial", *OURS).stdout
    (project / "conf/pipeline.yaml").write_text(
        parameters.dump(parameters.load(project / "conf/pipeline.yaml", project / "conf/ours.yaml"))
    )
    assert call("show").stdout.startswith(f"{name} version 1, champion")


def test_where_that_model_has_no_version_those_that_there_are_are_named(project: Path, name: str) -> None:
    meant = parameters.load(project / "conf/pipeline.yaml").model.name
    listed = call("list")
    assert listed.exit_code == 0
    said, _, others = listed.stdout.partition("; --name takes one of ")
    assert said == f"model {meant}: no version yet, `clarity train` makes one"
    assert name in others
    assert call("list", "--json").stdout.strip() == "[]"
    for words in (["show"], ["show", "1"], ["promote", "1", "--why", "x"], ["rollback", "--why", "x"]):
        refused = call(*words).exception
        assert isinstance(refused, NoModel)
        assert f"model {meant}: no version yet" in str(refused)
        assert name in str(refused)
