"""Ingests on a real DVC workspace with a real S3: what changes, what must not, and what happens when it is cut off."""

import csv
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
import typer
from typer.testing import CliRunner

from clarity.cli import data as command
from clarity.data import dataset, ingest, manifest, pool, prepared, replacement, split, versions
from clarity.data.workspace import Workspace
from clarity.errors import SourceError, StorageUnavailable, TooManyBad, WorkspaceError
from clarity.params import Params
from clarity.settings import Settings
from clarity.storage.objects import Objects
from tests.conftest import PROJECT
from tests.serving.live import until

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
    assert not (workspace.path / replacement.STAGING / "eyepacs").exists()


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


def test_an_ingest_builds_on_the_version_that_data_dvc_names_and_on_nothing_else(
    run: Run, workspace: Workspace, tmp_path: Path
) -> None:
    first = run(source(tmp_path / "one", TWELVE))
    older = workspace.data_file()
    second = run(source(tmp_path / "two", {"90_left": 1, "91_left": 2}, first_seed=100))
    named = workspace.data_file()
    more = source(tmp_path / "three", {"95_left": 3}, first_seed=200)
    # another machine's data.dvc came with `git pull`; data/ is still one's own
    (workspace.path / "data.dvc").write_text(older)
    verdict = rf"names version {first.version[:12]} of 12 photographs, and data/ is not that but holds 14; `clarity "
    for dry_run in (False, True):
        with pytest.raises(WorkspaceError, match=verdict + f"data checkout {first.version[:12]}`"):
            run(more, dry_run=dry_run)
    assert workspace.data_file() == older
    # data/ is gone
    (workspace.path / "data.dvc").write_text(named)
    shutil.rmtree(workspace.path / "data")
    with pytest.raises(WorkspaceError, match=rf"names version {second.version[:12]} of 14 .* data/ is absent; "):
        run(more)
    assert workspace.data_file() == named
    assert not (workspace.path / "data").exists()
    versions.checkout(workspace, Objects(workspace.settings), second.version)
    assert run(more).total == 15


def test_what_data_dvc_names_is_looked_at_again_before_what_was_checked_becomes_a_version(
    run: Run, workspace: Workspace, params: Params, settings: Settings, tmp_path: Path
) -> None:
    run(source(tmp_path / "one", TWELVE))
    older = workspace.data_file()
    run(source(tmp_path / "two", {"90_left": 1, "91_left": 2}, first_seed=100))
    collected = ingest.check(workspace, "eyepacs", source(tmp_path / "three", {"95_left": 3}, 200), params)
    (workspace.path / "data.dvc").write_text(older)
    with pytest.raises(WorkspaceError, match="of 12 photographs, and data/ is not that but holds 14"):
        ingest.commit(workspace, collected, params, Objects(settings))
    assert workspace.data_file() == older


def test_a_version_that_the_store_never_had_keeps_nobody_from_ingesting(
    run: Run, workspace: Workspace, tmp_path: Path
) -> None:
    shutil.copy(PROJECT / "data.dvc", workspace.path)  # a fresh clone: the phantoms, which nobody has drawn here
    assert run(source(tmp_path / "one", TWELVE)).total == 12


def test_bad_files_go_to_quarantine_with_their_reason_and_do_not_stop_the_others(
    run: Run, workspace: Workspace, tmp_path: Path
) -> None:
    bad = {"90_left": 0, "91_left": 0, "92_left": 9, "93_left": 0}
    folder = source(tmp_path / "set", TWELVE | {f"{n}_left": 1 for n in range(20, 40)})
    write_labels(folder, TWELVE | {f"{n}_left": 1 for n in range(20, 40)} | bad)
    (folder / "train" / "90_left.jpeg").write_bytes(b"")
    (folder / "train" / "91_left.jpeg").write_text("I am a text file")
    photograph(folder / "train" / "92_left.jpeg", 500)
    photograph(folder / "train" / "left out.png", 501)
    result = run(folder)
    assert (result.total, result.quarantined, result.unused, result.unused_first) == (32, 4, 1, ("train/left out.png",))
    page = (Path(result.report) / "summary.md").read_text()
    assert "The last ingest, of eyepacs, left out 1 image that no row uses (train/left out.png)." in page
    table = manifest.read(workspace.path / "data" / "quarantine.csv").set_index("name")["reason"]
    assert "0 bytes" in table["train/90_left.jpeg"]
    assert "not a JPEG" in table["train/91_left.jpeg"]
    assert "grade '9'" in table["train/92_left.jpeg"]
    assert "no such file" in table["93_left"]
    assert run(folder).changed is False


def test_too_many_bad_files_stop_before_the_version_changes(run: Run, workspace: Workspace, tmp_path: Path) -> None:
    run(source(tmp_path / "one", TWELVE))
    before = state(workspace)
    folder = source(tmp_path / "two", {"90_left": 0, "91_left": 0}, first_seed=100)
    (folder / "train" / "91_left.jpeg").write_bytes(b"\xff\xd8\xff nothing")
    with pytest.raises(TooManyBad, match=r"1 of 2 rows are bad, more than the 20% admitted; the data set is unchanged"):
        run(folder)
    assert state(workspace) == before


def test_one_photograph_with_two_grades_is_quarantined_against_what_is_already_there(
    run: Run, workspace: Workspace, tmp_path: Path
) -> None:
    run(source(tmp_path / "one", TWELVE))
    grades = {f"{n}_left": 1 for n in range(20, 30)} | {"99_left": 4}
    folder = source(tmp_path / "two", grades, first_seed=100)
    twin = tmp_path / "one" / "train" / "0_left.jpeg"
    (folder / "train" / "99_left.jpeg").write_bytes(twin.read_bytes())
    result = run(folder)
    reasons = set(manifest.read(workspace.path / "data" / "quarantine.csv")["reason"])
    said = "two grades for one photograph: eyepacs train/0_left.jpeg says 0; eyepacs train/99_left.jpeg says 4"
    assert reasons == {said}
    assert result.total == 12 + 10 - 1


def test_the_real_idrid_photographs_that_have_two_grades_are_found(
    workspace: Workspace, params: Params, settings: Settings, fundus: Path
) -> None:
    several = params.model_copy(update={"ingest": params.ingest.model_copy(update={"jobs": 2})})
    result = ingest.ingest(workspace, "idrid", fundus / "idrid", several, Objects(settings))
    torn = manifest.read(workspace.path / "data" / "quarantine.csv")
    assert {frozenset(group["name"]) for _, group in torn.groupby("reason")} == {
        frozenset({"train/IDRiD_021.jpg", "train/IDRiD_391.jpg"}),
        frozenset({"train/IDRiD_028.jpg", "train/IDRiD_327.jpg"}),
    }
    assert (result.total, result.near_duplicates) == (409, 3)


def _ingest_and_die(workspace: Path, settings: Settings, params: Params, folder: Path, at: str) -> None:
    def die(line: str) -> None:
        if line == at:
            os.kill(os.getpid(), signal.SIGKILL)

    place = Workspace(workspace, settings)
    ingest.ingest(place, "eyepacs", folder, params, Objects(settings), on_line=die)


def ingest_and_die(workspace: Workspace, params: Params, folder: Path, at: str) -> None:
    """An ingest in a process of its own that is killed where it says the line ``at``."""
    arguments = (workspace.path, workspace.settings, params, folder, at)
    child = multiprocessing.get_context("spawn").Process(target=_ingest_and_die, args=arguments)
    child.start()
    child.join(120)
    assert child.exitcode == -signal.SIGKILL


@pytest.mark.parametrize("at", ["dvc add", "dvc push"])
def test_a_killed_ingest_leaves_the_previous_version_and_can_be_run_again(
    run: Run,
    workspace: Workspace,
    params: Params,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    at: str,
) -> None:
    first = run(source(tmp_path / "one", TWELVE))
    before = state(workspace)
    folder = source(tmp_path / "two", {"90_left": 1, "91_left": 2}, first_seed=100)
    ingest_and_die(workspace, params, folder, at)
    monkeypatch.setenv("CLARITY_PROJECT", str(workspace.path))
    assert f"# Data set {first.version[:12]}" in said("data", "show")
    assert f"* {first.version[:12]}" in re.sub(" +", " ", said("data", "list"))
    with pytest.raises(WorkspaceError, match=r"prepare.*at work or was cut off; `clarity train`"):
        stage(workspace, "prepare")
    versions.checkout(workspace, Objects(settings), first.version)
    assert state(workspace) == before
    assert run(folder).total == 14


def said(*arguments: str) -> str:
    app = typer.Typer()
    command.register(app)
    return CliRunner().invoke(app, arguments).output


def stage(workspace: Workspace, name: str) -> None:
    """A stage as `dvc repro` by hand would run it."""
    call = [sys.executable, "-m", "clarity.stages", name]
    done = subprocess.run(call, cwd=workspace.path, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise WorkspaceError(done.stderr)


def test_a_killed_first_ingest_leaves_no_data_set(
    run: Run, workspace: Workspace, params: Params, tmp_path: Path
) -> None:
    folder = source(tmp_path / "one", TWELVE)
    ingest_and_die(workspace, params, folder, "dvc push")
    with pytest.raises(WorkspaceError, match="first ingest has not come to its end, no data set yet"):
        replacement.standing(workspace)
    assert run(folder).added == 12


def test_an_ingest_waits_a_moment_for_what_a_killed_one_had_started_to_end(
    run: Run, workspace: Workspace, tmp_path: Path
) -> None:
    other, held = Workspace(workspace.path, workspace.settings), threading.Event()

    def hold() -> None:
        with other.lock():
            held.set()
            time.sleep(0.5)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(10)
    assert run(source(tmp_path / "one", TWELVE)).added == 12
    thread.join()


def test_a_version_that_is_checked_out_after_an_ingest_was_killed_stays_and_is_what_the_next_one_builds_on(
    run: Run, workspace: Workspace, params: Params, settings: Settings, tmp_path: Path
) -> None:
    first = run(source(tmp_path / "one", TWELVE))
    run(source(tmp_path / "two", {"90_left": 1, "91_left": 2}, first_seed=100))
    third = source(tmp_path / "three", {"95_left": 3}, first_seed=200)
    ingest_and_die(workspace, params, third, "dvc push")
    versions.checkout(workspace, Objects(settings), first.version)
    assert run(third).total == 13


def test_what_an_interrupted_ingest_had_checked_is_not_checked_again(
    workspace: Workspace, params: Params, tmp_path: Path
) -> None:
    folder = source(tmp_path / "set", TWELVE)

    def stop(done: int, _total: int) -> None:
        if done >= 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest.check(workspace, "eyepacs", folder, params, on_progress=stop)
    again = ingest.check(workspace, "eyepacs", folder, params)
    assert again.resumed >= 8
    assert again.total == 12
    photograph(folder / "train" / "0_left.jpeg", 999)  # a changed file is looked at anew
    assert ingest.check(workspace, "eyepacs", folder, params).resumed == 11


def test_an_unreachable_store_is_named_and_nothing_is_half_done(
    run: Run, workspace: Workspace, params: Params, settings: Settings, tmp_path: Path
) -> None:
    run(source(tmp_path / "one", TWELVE))
    before = state(workspace)
    folder = source(tmp_path / "two", {"90_left": 1}, first_seed=100)
    away = settings.model_copy(update={"s3_endpoint_url": "http://127.0.0.1:9"})
    with pytest.raises(StorageUnavailable, match=r"http://127\.0\.0\.1:9.*cannot be reached"):
        ingest.ingest(workspace, "eyepacs", folder, params, Objects(away))
    collected = ingest.check(workspace, "eyepacs", folder, params)
    lost = Workspace(workspace.path, away)  # the store goes away between check and push
    lost.init()
    with pytest.raises((WorkspaceError, StorageUnavailable)):
        ingest.commit(lost, collected, params, Objects(settings))
    workspace.init()
    assert state(workspace) == before
    assert run(folder).total == 13


@pytest.mark.skipif(os.geteuid() != 0, reason="a small file system can only be mounted by root")
def test_a_full_disk_is_named_and_nothing_is_half_done(
    workspace: Workspace, params: Params, settings: Settings, tmp_path: Path
) -> None:
    folder = source(tmp_path / "set", TWELVE)
    staging = workspace.path / replacement.STAGING
    staging.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(staging)]
    if subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("file systems cannot be mounted here")
    try:
        with pytest.raises((SourceError, OSError), match=r"No space left"):
            ingest.ingest(workspace, "eyepacs", folder, params, Objects(settings))
    finally:
        subprocess.run(["umount", str(staging)], check=True)
    assert not (workspace.path / "data.dvc").exists()
    assert ingest.ingest(workspace, "eyepacs", folder, params, Objects(settings)).total == 12


def test_photographs_are_taken_from_an_s3_prefix(run: Run, settings: Settings, tmp_path: Path) -> None:
    objects = Objects(settings)
    folder = source(tmp_path / "set", TWELVE)
    for name in TWELVE:
        objects.put(f"camera/{name}.jpeg", (folder / "train" / f"{name}.jpeg").read_bytes())
    lines = [
        "image,patient,eye,grade",
        *(f"{n}.jpeg,{n.split('_')[0]},{n.split('_')[1]},{g}" for n, g in TWELVE.items()),
    ]
    objects.put("camera/labels.csv", "\n".join(lines).encode())
    objects.put("camera/again/0_left.png", b"")
    result = run(f"s3://{settings.s3_bucket}/camera", "folder")  # type: ignore[arg-type]
    assert (result.added, result.unused_first) == (12, ("again/0_left.png",))
    lines[1] = lines[1].replace(".jpeg", "")  # which of two is meant is not clear there either
    objects.put("camera/labels.csv", "\n".join(lines).encode())
    assert run(f"s3://{settings.s3_bucket}/camera", "folder").quarantined == 1  # type: ignore[arg-type]
    with pytest.raises(SourceError, match="no objects under this prefix"):
        run(f"s3://{settings.s3_bucket}/nothing", "folder")  # type: ignore[arg-type]


def graded(root: Path, first_seed: int, count: int = 6) -> Path:
    """A plain folder as any clinic may have it: 0.png, 1.png, … of the patients 0, 1, …; the last is no photograph."""
    for index in range(count):
        photograph(root / f"{index}.png", first_seed + index)
    (root / f"{count - 1}.png").write_bytes(b"broken")
    lines = ["image,patient,grade", *(f"{index}.png,{index},{index % 5}" for index in range(count))]
    (root / "labels.csv").write_text("\n".join(lines))
    return root


def test_two_clinics_whose_files_and_patients_are_called_alike_stay_apart_under_names(
    run: Run, workspace: Workspace, tmp_path: Path
) -> None:
    one, other = graded(tmp_path / "one", 0), graded(tmp_path / "other", 100)
    run(one, "folder")
    before = state(workspace)
    for dry_run in (True, False):
        with pytest.raises(SourceError, match=r"5 of the 5 file names .* --name NAME"):
            run(other, "folder", dry_run=dry_run)
    assert state(workspace) == before
    result = run(other, "folder", called="clinicB")
    assert (result.source, result.added, result.total) == ("clinicB", 5, 10)
    tables = dataset.load(workspace.path / "data")
    assert sorted(tables.manifest["patient"]) == [f"{name}:{n}" for name in ("clinicB", "folder") for n in range(5)]
    assert sorted(tables.quarantine["source"]) == ["clinicB", "folder"]
    assert not run(other, "folder", called="clinicB").changed
    photograph(one / "0.png", 999)  # a corrected file is no other place
    assert run(one, "folder").added == 1


def test_prepare_goes_on_where_it_stopped_and_split_follows(
    run: Run, workspace: Workspace, params: Params, tmp_path: Path
) -> None:
    run(source(tmp_path / "set", {f"{n}_left": n % 5 for n in range(30)}))
    index = prepared.prepare_all(workspace.path, params, jobs=1)
    whole = index.read_bytes()
    table = prepared.read_index(workspace.path)
    images = prepared.load_images(workspace.path, table)
    assert images.shape == (30, params.imaging.size, params.imaging.size, 3)
    assert images.any(axis=(1, 2, 3)).all()
    kept = {path.name: path.stat().st_mtime_ns for path in index.parent.glob("*.npy")}
    gone = sorted(index.parent.glob("*.npy"))[0]
    gone.unlink()
    index.unlink()
    prepared.prepare_all(workspace.path, params, jobs=1)
    assert index.read_bytes() == whole
    now = {path.name: path.stat().st_mtime_ns for path in index.parent.glob("*.npy")}
    assert {name for name in kept if now[name] != kept[name]} == {gone.name}
    assert (prepared.load_images(workspace.path, prepared.read_index(workspace.path)) == images).all()
    sides = split.split_all(workspace.path, params.split, params.ingest).read_text()
    assert sides.count("\n") == 31


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


def _stay(mark: Path) -> None:
    mark.write_text(str(os.getpid()))
    time.sleep(120)


def _work_for_long(folder: Path) -> None:
    list(pool.run(_stay, [folder / "one", folder / "other"], jobs=2, chunk=1))


def test_workers_end_with_the_process_that_they_work_for_even_if_it_was_killed(tmp_path: Path) -> None:
    caller = multiprocessing.get_context("spawn").Process(target=_work_for_long, args=(tmp_path,))
    caller.start()
    until(lambda: len([path for path in tmp_path.iterdir() if path.read_text()]) == 2)
    workers = [psutil.Process(int(path.read_text())) for path in tmp_path.iterdir()]
    caller.kill()
    caller.join()
    assert psutil.wait_procs(workers, timeout=20)[1] == []


def test_a_command_that_has_ended_leaves_no_process_behind() -> None:
    code = (
        "import multiprocessing.forkserver as server, pandas\n"
        "from clarity.data import pool\n"
        "assert sorted(pool.run(pandas.isna, [1, None], chunk=1), key=str) == [(1, False), (None, True)]\n"
        "print(server._forkserver._forkserver_pid)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PROJECT)
    assert not psutil.pid_exists(int(done.stdout)), done.stderr


def test_an_item_that_cannot_be_sent_to_a_worker_is_named_and_nothing_hangs() -> None:
    items = ["a", lambda: None, "bb"]
    found = dict(pool.run(_work, items, jobs=1, chunk=2))
    assert isinstance(found[items[1]], pool.Died)
    assert (found["a"], found["bb"]) == (1, 2)
