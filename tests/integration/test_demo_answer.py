"""The demo's HTTP step: a key, a service with the champion, a photograph that is kept, the history read back."""

import os
import shutil
from pathlib import Path

import yaml

from clarity.access import keys
from clarity.cli.demo import answer
from clarity.registry import promotion
from clarity.registry.models import Registry
from clarity.settings import Settings
from clarity.storage import database
from tests import tiny
from tests.conftest import PROJECT
from tests.integration.registering import new_name, new_run


def test_it_asks_the_champion_over_http_with_a_key_and_leaves_none_that_counts(
    settings: Settings, tmp_path: Path
) -> None:
    name, engine = new_name(), database.engine(settings.need("database_url"))
    registry = Registry(settings.need("mlflow_tracking_uri"))
    ref = registry.register(tiny.write_bundle(tmp_path, name=name).path, new_run(registry), name)
    promotion.promote(registry, engine, ref, actor="test", reasons=["for the test"])
    workspace = tmp_path / "workspace"
    shutil.copytree(PROJECT / "conf", workspace / "conf")
    said = yaml.safe_load((workspace / "conf/pipeline.yaml").read_text())
    said["model"]["name"] = name
    (workspace / "conf/pipeline.yaml").write_text(yaml.safe_dump(said))
    environment = os.environ | settings.model_copy(update={"project": workspace}).environment()
    with (
        answer.key(settings.need("database_url")) as key,
        answer.service(environment, tmp_path / "serve.log", key) as url,
    ):
        photograph = tiny.jpeg(tiny.eye(seed=3))
        first = answer.ask(url, key, photograph, "phantoms:7")
        again = answer.ask(url, key, photograph, "phantoms:7")
    assert (first["model"], first["model_version"]) == (name, ref.version)
    assert first["history"] == again["history"] == {"visits": 1, "scans": 1}
    assert first["round_trip_ms"] > 0
    assert "stored" not in first and "heatmap" not in first
    (made,) = keys.every(engine)
    assert made.revoked_at is not None
    engine.dispose()
