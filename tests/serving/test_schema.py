"""schemathesis over the whole OpenAPI document of a live service: every check, with a key."""

import base64
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clarity.access import keys
from clarity.inference.bundle import Bundle
from clarity.settings import Settings
from clarity.storage import database
from tests import tiny
from tests.serving.live import PROJECT, Live, serving

BUDGET_S = 60
_WIDE = 400


@pytest.fixture(scope="module")
def key(module_settings: Settings) -> str:
    engine = database.engine(module_settings.need("database_url"))
    try:
        return keys.make(engine, "schemathesis", ["admin"], rate_per_minute=10**6, expires_at=None)[1]
    finally:
        engine.dispose()


@pytest.fixture(scope="module")
def live(
    module_settings: Settings, key: str, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Live]:
    home = tmp_path_factory.mktemp("home")
    secrets = {
        "CLARITY_IDENTITY_KEYS": "one:" + base64.b64encode(os.urandom(32)).decode(),
        "CLARITY_SEARCH_KEY": base64.b64encode(os.urandom(32)).decode(),
    }
    environment = {**module_settings.environment(), **secrets, "CLARITY_HOME": str(home / "serve")}
    with serving(home / "serve", "--bundle", str(bundle.path), open_=False, **environment) as running:
        running.headers = {"X-API-Key": key}
        yield running


def known(live: Live) -> dict[str, str]:
    """A patient with a scan, for the hooks."""
    with live.client as client:
        patient = client.post("/v1/patients/", json={"external_id": "known-1"}).json()["id"]
        form = {"patient": patient, "eye": "left"}
        stored = client.post("/v1/predict", files={"image": tiny.jpeg(tiny.eye())}, data=form).json()["stored"]
    return {"KNOWN_PATIENT": patient, "KNOWN_SCAN": stored["scan"]}


def test_no_check_of_schemathesis_fails_on_any_route(live: Live, key: str, tmp_path: Path) -> None:
    command = [
        Path(sys.executable).with_name("st"), "--config-file", PROJECT / "tests/serving/schemathesis.toml",
        "run", f"{live.url}/openapi.json", "--auth", f"key:{key}", "--checks", "all",
        "--exclude-checks", "use_after_free",  # in its place hooks.use_after_erasure
        "--max-examples", "12", "--max-time", str(BUDGET_S), "--seed", "2026",
    ]  # fmt: skip
    hooks = {"SCHEMATHESIS_HOOKS": "tests.serving.hooks", "PYTHONPATH": str(PROJECT), **known(live)}
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, **hooks}, capture_output=True, text=True, timeout=4 * BUDGET_S
    )
    said = "\n".join(line[:_WIDE] for line in (done.stdout + done.stderr).splitlines())
    assert done.returncode == 0, said[-30_000:]
    log = live.log.read_text()
    assert "crashed" not in log and "Traceback" not in log, log[-5_000:]
