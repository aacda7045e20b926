"""The folder of phantoms: its layout, that it says what it is, and that it survives interruptions."""

import csv
import multiprocessing
from pathlib import Path

import cv2
import numpy as np
import pytest

from clarity.data.phantoms import KINDS, draw, write
from clarity.data.phantoms.plan import plan
from clarity.errors import SourceError
from clarity.params import PhantomParams
from clarity.records import Eye

PARAMS = PhantomParams(count=6, patients_share_both_eyes=0.8, size=64, seed=5, poor_quality_share=0.05)


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "labels.csv").open(encoding="utf-8") as table:
        return list(csv.DictReader(table))


def test_a_folder_holds_photographs_labels_and_the_word_phantom(tmp_path):
    write(tmp_path / "set", PARAMS)
    rows = _rows(tmp_path / "set")
    assert list(rows[0]) == ["image", "patient", "eye", "field", "grade", "quality", "licence"]
    assert {row["image"] for row in rows} == {path.name for path in (tmp_path / "set/photographs").iterdir()}
    assert len(rows) == PARAMS.count
    assert all("phantom" in row["licence"] and "phantom" in row["image"] for row in rows)
    notice = (tmp_path / "set/PHANTOMS.txt").read_text()
    assert "no patient" in notice and "clinical" in notice


def test_a_photograph_is_the_phantom_of_its_row(tmp_path):
    write(tmp_path, PARAMS)
    order = plan(PARAMS)[2]
    row = _rows(tmp_path)[2]
    assert (row["image"], row["patient"], row["grade"]) == (order.image, order.patient, str(order.grade))
    drawn = draw(
        order.seed, order.grade, size=64, eye=Eye(row["eye"]), quality=row["quality"], patient_seed=order.patient_seed
    )
    read = cv2.imread(str(tmp_path / "photographs" / order.image))[:, :, ::-1]
    assert np.abs(read.astype(int) - drawn.image).mean() < 6


def test_masks_come_with_the_photographs_when_asked_for(tmp_path):
    write(tmp_path, PARAMS, masks=True)
    for row, order in zip(_rows(tmp_path), plan(PARAMS), strict=True):
        found = {path.stem for path in (tmp_path / "masks" / Path(row["image"]).stem).iterdir()}
        assert found <= set(KINDS)
        assert bool(found) == (order.grade > 0)
    some = next((tmp_path / "masks").rglob("*.png"))
    assert set(np.unique(cv2.imread(str(some), cv2.IMREAD_GRAYSCALE))) == {0, 255}
    write(tmp_path, PARAMS)
    assert not (tmp_path / "masks").exists()


def test_two_processes_write_the_same_bytes_as_one(tmp_path):
    write(tmp_path / "one", PARAMS, 20, jobs=1)
    write(tmp_path / "two", PARAMS, 20, jobs=2)
    assert _files(tmp_path / "one") == _files(tmp_path / "two")


def test_an_interrupted_writing_is_taken_up_where_it_stopped(tmp_path):
    def stop(done, _):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "cut", PARAMS, jobs=1, masks=True, progress=stop)
    assert not (tmp_path / "cut/labels.csv").exists()
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "cut/photographs").iterdir()}
    assert len(kept) == 3
    (tmp_path / "cut/photographs/phantom-00000_left.jpg.part").write_bytes(b"half")
    write(tmp_path / "cut", PARAMS, jobs=1, masks=True)
    write(tmp_path / "whole", PARAMS, jobs=1, masks=True)
    assert _files(tmp_path / "cut") == _files(tmp_path / "whole")
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())


def test_a_drawing_process_that_is_killed_is_named_and_the_next_call_completes_the_folder(tmp_path):
    def kill(done, _):
        if 0 < done < 100:
            for child in multiprocessing.active_children():
                child.kill()

    with pytest.raises(SourceError, match="a drawing process ended early"):
        write(tmp_path, PARAMS, 120, jobs=2, progress=kill)
    write(tmp_path, PARAMS, 120, jobs=1)
    assert len(_rows(tmp_path)) == len(list((tmp_path / "photographs").glob("*.jpg"))) == 120


def test_writing_again_with_other_numbers_leaves_no_phantom_of_the_old_ones(tmp_path):
    write(tmp_path, PARAMS)
    write(tmp_path, PARAMS, 3)
    assert len(list((tmp_path / "photographs").iterdir())) == len(_rows(tmp_path)) == 3
    before = _files(tmp_path)
    other = PARAMS.model_copy(update={"seed": 6})
    write(tmp_path, other, 3)
    write(tmp_path / "fresh", other, 3)
    after = _files(tmp_path / "fresh")
    assert {name: data for name, data in _files(tmp_path).items() if not name.startswith("fresh")} == after
    assert before["PHANTOMS.txt"] != after["PHANTOMS.txt"]


def test_progress_reaches_the_end(tmp_path):
    told = []
    write(tmp_path, PARAMS, progress=lambda done, of: told.append((done, of)))
    assert told[-1] == (6, 6)


def test_a_folder_of_other_files_is_not_touched(tmp_path):
    (tmp_path / "patient.jpg").write_bytes(b"a photograph")
    with pytest.raises(SourceError, match="not written among other files"):
        write(tmp_path, PARAMS)
    assert _files(tmp_path) == {"patient.jpg": b"a photograph"}


def test_a_place_that_is_no_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceError, match="file"):
        write(tmp_path / "file" / "below", PARAMS)


def test_a_smaller_count_is_a_prefix_of_a_larger_one():
    assert plan(PARAMS, 40) == plan(PARAMS, 90)[:40]


def test_grades_are_balanced_eyes_correlated_and_quality_says_nothing_of_the_grade():
    orders = plan(PARAMS.model_copy(update={"count": 1500, "poor_quality_share": 0.1}))
    grades = np.array([order.grade for order in orders])
    assert np.bincount(grades).min() > 0.15 * len(grades)
    by_patient: dict[str, list[int]] = {}
    for order in orders:
        by_patient.setdefault(order.patient, []).append(order.grade)
    pairs = np.array([pair for pair in by_patient.values() if len(pair) == 2])
    assert 0.75 < len(pairs) / len(by_patient) < 0.85
    assert np.corrcoef(pairs.T)[0, 1] > 0.6
    rejected = np.array([order.quality == "reject" for order in orders])
    assert 0.07 < rejected.mean() < 0.13
    assert abs(np.corrcoef(rejected, grades)[0, 1]) < 0.08
    assert len({order.seed for order in orders}) == len({order.image for order in orders}) == 1500
