"""The ingest as a flow and on the command line, against a running Prefect."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest

from clarity.errors import TooManyBad
from clarity.params import Params, dump
from clarity.settings import Settings

pytestmark = pytest.mark.stack


@pytest.fixture
def place(tmp_path: Path, settings: Settings, params: Params, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder with a configuration and nothing else; the environment says it is the project."""
    root = tmp_path / "project"
    (root / "conf").mkdir(parents=True)
    (root / "conf" / "pipeline.yaml").write_text(dump(params))
    monkeypatch.setenv("CLARITY_PROJECT", str(root))
    return root


def graded_folders(root: Path, count: int = 6) -> Path:
    for index in range(count):
        coarse = np.random.default_rng(index).integers(40, 220, (12, 12, 3)).astype(np.uint8)
        path = root / str(index % 5) / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), cv2.resize(coarse, (160, 160), interpolation=cv2.INTER_CUBIC))
    return root


def artifacts(settings: Settings, version: str) -> dict[str, str]:
    """Key to content of what speaks of this version; plainly, as Prefect's client sends what its server refuses."""
    answer = httpx.post(f"{settings.prefect_api_url}/artifacts/filter", json={"sort": "CREATED_DESC", "limit": 200})
    found = answer.raise_for_status().json()
    return {str(a["key"]): str(a["data"]) for a in found if version[:12] in f"{a['description']}{a['data']}"}


def test_the_flow_makes_a_version_and_shows_its_page_and_contact_sheet(
    place: Path, tmp_path: Path, settings: Settings
) -> None:
    from flows.ingest import ingest

    facts = ingest(None, str(graded_folders(tmp_path / "set")))
    assert (facts["source"], facts["added"], facts["changed"]) == ("folder", 6, True)
    assert (place / "data.dvc").exists()
    shown = artifacts(settings, facts["version"])
    assert "6 photographs of 6 patients" in shown["data-set"]
    assert "contact.png" in shown["contact-sheet"]
    again = ingest("folder", str(tmp_path / "set"))
    assert (again["changed"], again["version"]) == (False, facts["version"])
    json.dumps(facts)


def test_a_refused_ingest_is_a_failed_run_with_the_named_error(place: Path, tmp_path: Path) -> None:
    from flows.ingest import ingest

    folder = graded_folders(tmp_path / "set", 3)
    (folder / "1" / "bad.png").write_bytes(b"no picture")
    with pytest.raises(TooManyBad):
        ingest("folder", str(folder))
    assert not (place / "data.dvc").exists()


def command(*arguments: str) -> "subprocess.CompletedProcess[str]":
    call = [sys.executable, "-m", "clarity", *arguments]
    return subprocess.run(call, capture_output=True, text=True, check=False, env=dict(os.environ))


def test_the_command_line_ingests_lists_shows_and_checks_out(place: Path, tmp_path: Path) -> None:
    folder = graded_folders(tmp_path / "set")
    (folder / "nobody's.png").write_bytes(b"")
    dry = command("ingest", str(folder), "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "left out 1 image that no row uses (nobody's.png). Dry run: nothing was changed" in dry.stdout
    assert not (place / "data.dvc").exists()
    done = command("ingest", "--source", "folder", str(folder), "--json")
    assert done.returncode == 0, done.stderr
    version = json.loads(done.stdout)["version"]
    listed = json.loads(command("data", "list", "--json").stdout)
    assert [(entry["version"], entry["total"]) for entry in listed] == [(version, 6)]
    assert "6 rows of clinicB: 0 new photographs, 6 repeats" in command(
        "ingest", str(folder), "--name", "clinicB", "--dry-run").stdout  # fmt: skip
    assert version[:12] in command("data", "list").stdout
    assert f"# Data set {version[:12]}" in command("data", "show").stdout
    assert version in command("data", "checkout", version[:6]).stdout


@pytest.mark.parametrize("options", [(), ("--column", "grade=befund"), ("--source", "folder")])
def test_a_mistake_is_told_in_one_line_which_is_the_last_and_without_a_traceback(
    place: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    (tmp_path / "labels.csv").write_text("bild,befund\na.png,3\n")
    said = command("ingest", str(tmp_path), *options)
    assert said.returncode == 1
    assert "Traceback" not in said.stderr
    last = f"ManifestError: {tmp_path}/labels.csv: no column for image; it has bild, befund; say --column image=…"
    assert said.stderr.splitlines()[-1] == last


def test_a_link_that_leads_to_itself_is_a_folder_that_is_not_there(place: Path, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    said = command("ingest", str(tmp_path / "loop"))
    assert said.stderr.splitlines()[-1] == f"SourceError: {tmp_path}/loop: there is no such folder or file"


def test_the_command_line_refuses_a_column_that_it_does_not_know(place: Path, tmp_path: Path) -> None:
    said = command("ingest", "--source", "folder", str(tmp_path), "--column", "colour=x")
    assert said.returncode == 2
    assert "KEY=COLUMN" in said.stderr


@pytest.mark.parametrize("count", ["-3", "0"])
def test_fewer_than_one_phantom_is_a_mistake_of_usage(place: Path, tmp_path: Path, count: str) -> None:
    said = command("phantoms", "draw", str(tmp_path / "drawn"), "--count", count)
    assert said.returncode == 2
    assert "Traceback" not in said.stderr
    assert not (tmp_path / "drawn").exists()
