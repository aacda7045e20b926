"""A source's rows, checked against real files: which photographs come through, and which go to quarantine and why."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from clarity.data import collect, sources, summary
from clarity.data.manifest import REASON
from clarity.data.merge import DataSet, merge, nothing
from clarity.params import Params


def photograph(path: Path, seed: int) -> None:
    """Smooth noise: decodes, hashes, and is like no other seed's."""
    coarse = np.random.default_rng(seed).integers(40, 220, (12, 12, 3)).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.resize(coarse, (96, 96), interpolation=cv2.INTER_CUBIC))


def laid_out(root: Path, tables: dict[str, str], *photographs: str) -> Path:
    root.mkdir(exist_ok=True)
    for name, text in tables.items():
        (root / name).write_text(text)
    for seed, name in enumerate(photographs):
        photograph(root / name, seed)
    return root


def seen(root: Path, params: Params, staging: Path) -> pd.DataFrame:
    rows = sources.read(sources.detect(root), root)
    return collect.seen(collect.collect(rows, staging, params.imaging, jobs=1))


def data_set(root: Path, params: Params, staging: Path) -> DataSet:
    return merge(nothing(), seen(root, params, staging), params.ingest)


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    return tmp_path / "staging"


def test_one_photograph_spelled_in_two_ways_with_two_grades_is_quarantined_with_both_rows_named(
    tmp_path: Path, staging: Path, params: Params
) -> None:
    table = "image,grade\np0.jpg,1\np0,3\np1.jpg,0\n./p1.jpg,4\np2.jpg,2\n"
    found = data_set(laid_out(tmp_path / "set", {"labels.csv": table}, "p0.jpg", "p1.jpg", "p2.jpg"), params, staging)
    assert list(found.manifest["name"]) == ["p2.jpg"]
    assert found.quarantine.groupby("name")[REASON].unique().map(list).to_dict() == {
        "p0.jpg": [
            "2 rows contradict each other (grade): labels.csv: p0.jpg says grade 1; labels.csv: p0 says grade 3"
        ],
        "p1.jpg": [
            "2 rows contradict each other (grade): labels.csv: p1.jpg says grade 0; labels.csv: ./p1.jpg says grade 4"
        ],
    }
    assert len(found.quarantine) == 4


def test_two_tables_of_a_set_that_grade_one_photograph_differently_contradict_each_other(
    tmp_path: Path, staging: Path, params: Params
) -> None:
    header = "id_code,diagnosis\n"
    tables = {"train_1.csv": f"{header}x6,0\nx7,1\n", "valid.csv": f"{header}x6,4\nx8,2\n"}
    found = data_set(laid_out(tmp_path / "set", tables, "i/x6.png", "i/x7.png", "i/x8.png"), params, staging)
    assert sorted(found.manifest["name"]) == ["i/x7.png", "i/x8.png"]
    assert set(found.quarantine[REASON]) == {
        "2 rows contradict each other (grade, side): train_1.csv: x6 says grade 0, side train; "
        "valid.csv: x6 says grade 4, side validation"
    }


@pytest.mark.parametrize(
    ("one", "other", "fields"),
    [
        ("7,left,train,1", "7,right,train,1", "eye"),
        ("7,left,train,1", "8,left,train,1", "patient"),
        ("7,left,train,1", "7,left,test,1", "side"),
        ("7,left,train,1", "7,left,train,", "grade"),
        ("7,left,train,9", "7,left,train,8", "fault"),
    ],
)
def test_what_else_must_not_differ_is_named(
    tmp_path: Path, staging: Path, params: Params, one: str, other: str, fields: str
) -> None:
    table = f"image,patient,eye,split,grade\na.png,{one}\na,{other}\n"
    found = seen(laid_out(tmp_path / "set", {"labels.csv": table}, "a.png"), params, staging)
    assert found[REASON].str.startswith(f"2 rows contradict each other ({fields}): labels.csv: a.png").all()
    assert found[REASON].str.contains("; labels.csv: a").all()


def test_a_reason_does_not_tell_whose_the_photograph_is(tmp_path: Path, staging: Path, params: Params) -> None:
    table = "image,patient,grade\na.png,MRN-4711,1\na,MRN-4712,1\n"
    found = seen(laid_out(tmp_path / "set", {"labels.csv": table}, "a.png"), params, staging)
    assert set(found[REASON]) == {"2 rows contradict each other (patient): labels.csv: a.png; labels.csv: a"}


def test_rows_that_repeat_each_other_are_one_capture_however_they_are_spelled(
    tmp_path: Path, staging: Path, params: Params
) -> None:
    table = "image,grade\na.png,1\na.png,1\na,1\n./a.png,1\n"
    found = seen(laid_out(tmp_path / "set", {"labels.csv": table}, "a.png"), params, staging)
    assert list(zip(found["name"], found["grade"], found[REASON], strict=True)) == [("a.png", 1, "")]


def test_images_that_no_row_uses_are_counted_and_are_no_bad_rows(tmp_path: Path, staging: Path, params: Params) -> None:
    root = laid_out(tmp_path / "set", {"labels.csv": "image,grade\n1.png,1\n"}, *(f"{n}.png" for n in range(6)))
    collected = collect.collect(sources.read("folder", root), staging, params.imaging, jobs=1)
    assert (collected.total, collected.bad) == (1, 0)
    assert (collected.unused, collected.unused_first) == (5, ("0.png", "2.png", "3.png"))
    assert summary.left_out(collected.unused, collected.unused_first) == (
        "5 images that no row uses (0.png, 2.png, 3.png, …)"
    )
    assert summary.left_out(1, ["a.png"]) == "1 image that no row uses (a.png)"


def test_another_ingest_corrects_a_grade_and_one_that_contradicts_itself_takes_the_photograph_out(
    tmp_path: Path, staging: Path, params: Params
) -> None:
    root = laid_out(tmp_path / "set", {"labels.csv": "image,grade\na.png,1\nb.png,0\n"}, "a.png", "b.png")
    first = data_set(root, params, staging)
    (root / "labels.csv").write_text("image,grade\na.png,3\nb.png,0\n")
    corrected = merge(first, seen(root, params, staging), params.ingest)
    assert dict(zip(corrected.manifest["name"], corrected.manifest["grade"], strict=True)) == {"a.png": 3, "b.png": 0}
    (root / "labels.csv").write_text("image,grade\na.png,3\na,1\nb.png,0\n")
    torn = merge(corrected, seen(root, params, staging), params.ingest)
    assert list(torn.manifest["name"]) == ["b.png"]
    assert list(torn.quarantine["name"]) == ["a.png", "a.png"]
