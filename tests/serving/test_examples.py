"""docs/api.md is what the service says of itself, and every example in it, and examples/, really run."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clarity.client import Client
from clarity.inference.bundle import Bundle
from clarity.settings import Settings
from serving import reference
from serving.samples import SAMPLES
from tests import tiny
from tests.serving.live import PROJECT
from tests.serving.online import Online, online

PAGE = PROJECT / "docs" / "api.md"


@pytest.fixture(scope="module")
def document() -> reference.Document:
    return reference.openapi()


@pytest.fixture(scope="module")
def service(module_settings: Settings, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Online]:
    with online(module_settings, bundle, tmp_path_factory.mktemp("examples")) as running:
        yield running


@pytest.fixture
def folder(service: Online, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the examples run: with photographs that nobody has sent yet, an address and a key."""
    for name, value in service.variables("admin").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CURL_HOME", str(tmp_path))
    (tmp_path / ".curlrc").write_text("fail-with-body\nsilent\nshow-error\n")
    for number, side in enumerate(("left", "right")):
        seed = int.from_bytes(tmp_path.name.encode(), "big") % 2**31 + number
        (tmp_path / f"{side}.jpg").write_bytes(tiny.jpeg(tiny.eye(seed=seed)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_committed_page_is_the_one_that_the_service_describes(document: reference.Document) -> None:
    assert PAGE.read_text() == reference.page(document), "python -m serving.reference > docs/api.md"


def test_every_route_has_an_example_and_every_example_a_route(document: reference.Document) -> None:
    ids = [operation["operationId"] for *_, operation in reference.operations(document)]
    assert sorted(ids) == sorted(SAMPLES)
    for method, path, operation in reference.operations(document):
        told = {sample["label"]: sample["source"] for sample in operation["x-codeSamples"]}
        where = path.replace("{id}", "$SCAN" if "/scans/{id}" in path else "$PATIENT")
        assert f'"$CLARITY_API_URL{where}"' in told["curl"], (method, path)
        assert "client." in told["clarity.client"]


def test_every_example_of_curl_runs_in_the_order_of_the_story(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, sample in SAMPLES.items():
        done = subprocess.run(["bash", "-euc", sample.curl], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, (name, done.stdout, done.stderr)
        if name == "create_patient":
            monkeypatch.setenv("PATIENT", _found(r'"id":\s*"([0-9a-f-]{36})"', done.stdout))
        if name == "predict":
            monkeypatch.setenv("SCAN", _found(r'"scan":\s*"([0-9a-f]{64})"', done.stdout))


def test_every_example_of_the_client_runs_in_the_order_of_the_story(folder: Path) -> None:
    names: dict[str, Any] = {"Path": Path}
    with Client() as client:
        names["client"] = client
        for name, sample in SAMPLES.items():
            exec(compile(sample.python, name, "exec"), names)  # noqa: S102


def test_the_example_of_the_folder_runs_on_a_photograph_and_on_a_phantom(folder: Path) -> None:
    for arguments in (["left.jpg"], []):
        script = PROJECT / "examples" / "first_patient.py"
        done = subprocess.run(
            [sys.executable, str(script), *arguments], capture_output=True, text=True, cwd=folder, timeout=120
        )
        assert done.returncode == 0, done.stderr
        told = [line.split()[0] for line in done.stdout.splitlines()]
        assert told == ["patient", "prediction", "model", "heatmap", "visit", "scan"], done.stdout
        assert (folder / "heatmap.png").read_bytes().startswith(b"\x89PNG")
        (folder / "heatmap.png").unlink()


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    assert found, text
    return found[1]
