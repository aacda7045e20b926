"""Ingests on a real DVC workspace with a real S3: what changes, what must not, and what happens when it is cut off."""

import csv
import os
import signal
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from clarity.data import dataset, ingest, manifest, pool, versions
from clarity.data.workspace import Workspace
from clarity.errors import WorkspaceError
from clarity.params import Params
from clarity.settings import Settings
from clarity.storage.objects import Objects

pytestmark = pytest.mark.stack


def photograph(path: Path, seed: int, side: int = 160) -> Path:
    """A disc of smooth noise: decodes, hashes, and is like no other seed's."""
    coarse = np.random.default_rng(seed).integers(40, 220, (12, 12, 3)).astype(np.uint8)
    image = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    mask = np.zeros((side, side), np.uint8)
    cv2.circle(mask, (side // 2, side // 2), side // 2 - 4, 255, -1)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.bitwise_and(image, image, mask=mask))
    return path


def source(root: Path, grades: dict[str, int], first_seed: int = 0) -> Path:
    """An EyePACS folder with these names and grades."""
    for index, name in enumerate(grades):
        photograph(root / "train" / f"{name}.jpeg", first_seed + index)
    write_labels(root, grades)
    return root


def write_labels(root: Path, grades: dict[str, int]) -> None:
    with (root / "trainLabels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "level"), *grades.items()])


TWELVE = {f"{patient}_{eye}": patient % 5 for patient in range(6) for eye in ("left", "right")}


@pytest.fixture
def workspace(tmp_path: Path, settings: Settings) -> Workspace:
    made = Workspace(tmp_path / "workspace", settings.model_copy(update={"home": tmp_path / "home"}))
    made.init()
    return made


@pytest.fixture
def run(workspace: Workspace, params: Params, settings: Settings) -> Callable[..., ingest.IngestResult]:
    def go(path: Path, name: str = "eyepacs", **options: object) -> ingest.IngestResult:
        return ingest.ingest(workspace, name, path, params, Objects(settings), **options)  # type: ignore[arg-type]

    return go


Run = Callable[..., ingest.IngestResult]


def state(workspace: Workspace) -> tuple[str, dict[str, bytes]]:
    files = {
        str(path.relative_to(workspace.path)): path.read_bytes()
        for path in sorted((workspace.path / "data").rglob("*"))
        if path.is_file()
    }
    return workspace.data_file(), files


def test_an_ingest_makes_a_version_with_its_page_and_its_sheet_and_the_same_again_changes_nothing(
    run: Run, workspace: Workspace, tmp_path: Path, settings: Settings
) -> None:
    folder = source(tmp_path / "set", TWELVE)
    result = run(folder)
    assert (result.changed, result.added, result.total, result.quarantined) == (True, 12, 12, 0)
    assert result.version == workspace.data_version()
    table = manifest.read(workspace.path / "data" / "manifest.csv")
    assert sorted(table["patient"].unique()) == [f"eyepacs:{n}" for n in range(6)]
    stored = workspace.path / "data" / manifest.photograph_path(table["sha256"][0], table["suffix"][0])
    assert stored.read_bytes() in {path.read_bytes() for path in (folder / "train").iterdir()}
    report = Path(result.report)
    assert "12 photographs of 6 patients" in (report / "summary.md").read_text()
    assert cv2.imread(str(report / "contact.png")) is not None
    assert [v.version for v in versions.versions(Objects(settings))] == [result.version]

    before = state(workspace)
    again = run(folder)
    assert (again.changed, again.added, again.version) == (False, 0, result.version)
    assert state(workspace) == before
    assert not (workspace.path / dataset.STAGING / "eyepacs").exists()


def test_a_dry_run_tells_and_changes_nothing(run: Run, workspace: Workspace, tmp_path: Path) -> None:
    result = run(source(tmp_path / "set", TWELVE), dry_run=True)
    assert (result.changed, result.added, result.version, result.report) == (True, 12, "", "")
    assert not (workspace.path / "data").exists()
    assert not (workspace.path / "data.dvc").exists()


def test_new_data_joins_the_old_and_an_older_version_can_be_had_back_from_s3(
    run: Run, workspace: Workspace, tmp_path: Path, settings: Settings
) -> None:
    first = run(source(tmp_path / "one", TWELVE))
    old = state(workspace)
    second = run(source(tmp_path / "two", {"90_left": 1, "91_left": 2}, first_seed=100))
    assert (second.added, second.total) == (2, 14)
    new = state(workspace)

    import shutil

    shutil.rmtree(workspace.path / "data")
    shutil.rmtree(workspace.path / ".dvc" / "cache")
    objects = Objects(settings)
    assert versions.checkout(workspace, objects, first.version[:8]) == first.version
    assert state(workspace) == old
    versions.checkout(workspace, objects, second.version)
    assert state(workspace) == new
    with pytest.raises(WorkspaceError, match="no such version"):
        versions.checkout(workspace, objects, "ffffffff")
    assert state(workspace) == new


# the pool


def _work(item: object) -> int:
    if item == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    return len(str(item))


def test_a_worker_that_dies_costs_its_own_item_only() -> None:
    items = ["a", "bb", "die", "cccc", *map(str, range(40))]
    found = list(pool.run(_work, items, jobs=2, chunk=4))
    assert len(found) == len(items)
    died = [item for item, result in found if isinstance(result, pool.Died)]
    assert died == ["die"]
    assert {item: result for item, result in found if item in ("a", "bb", "cccc")} == {"a": 1, "bb": 2, "cccc": 4}


def test_an_item_that_cannot_be_sent_to_a_worker_is_named_and_nothing_hangs() -> None:
    items = ["a", lambda: None, "bb"]
    found = dict(pool.run(_work, items, jobs=1, chunk=2))
    assert isinstance(found[items[1]], pool.Died)
    assert (found["a"], found["bb"]) == (1, 2)
