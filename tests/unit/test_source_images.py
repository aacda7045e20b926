"""Which file a table's cell means, where file names are spelled alike."""

import unicodedata
from pathlib import Path

import pytest

from clarity.data import sources
from clarity.data.sources.images import Images
from clarity.data.sources.tree import plant


def images(root: Path, *names: str) -> Images:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return Images(plant(root))


@pytest.mark.parametrize(
    ("cell", "means"),
    [
        ("A/img1.jpg", "A/img1.jpg"),
        ("./B/img1.jpg", "B/img1.jpg"),
        ("B\\img1", "B/img1.jpg"),
        ("a/IMG1.JPG", "A/img1.jpg"),
        ("/data/photographs/x.png", "deep/down/x.png"),
        ("down/x", "deep/down/x.png"),
        ("x.jpg", "deep/down/x.png"),
        ("IMG2.jpg", "C/IMG2.jpg"),
        ("img2.jpg", "D/img2.jpg"),
    ],
)
def test_a_cell_means_the_one_file_that_fits_best(tmp_path: Path, cell: str, means: str) -> None:
    found = images(tmp_path, "A/img1.jpg", "B/img1.jpg", "deep/down/x.png", "C/IMG2.jpg", "D/img2.jpg").find(cell)
    assert (found.name, found.problem) == (means, "")
    assert found.read is not None and found.read() == means.encode()


@pytest.mark.parametrize(
    ("cell", "problem"),
    [
        ("img1.jpg", "means 2 files: A/img1.jpg, B/img1.jpg"),
        ("C/img1.jpg", "means 2 files: A/img1.jpg, B/img1.jpg"),
        ("a", "means 2 files: a.jpg, a.png"),
        ("Img2.jpg", "means 2 files: IMG2.jpg, img2.jpg"),
        ("same", "means 4 files: 1/same.png, 2/same.png, 3/same.png, …"),
        ("nowhere", ""),
        ("", ""),
    ],
)
def test_a_cell_that_means_several_files_means_none_and_says_which(tmp_path: Path, cell: str, problem: str) -> None:
    repeated = [f"{folder}/same.png" for folder in (1, 2, 3, 4)]
    found = images(tmp_path, "A/img1.jpg", "B/img1.jpg", "a.jpg", "a.png", "IMG2.jpg", "img2.jpg", *repeated).find(cell)
    assert (found.name, found.read, found.problem) == (cell, None, problem)


def test_an_accent_may_be_composed_or_not_on_either_side(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "José/Müller.jpg") for form in ("NFC", "NFD"))
    assert composed != apart
    assert images(tmp_path / "apart", apart).find(composed).name == apart
    assert images(tmp_path / "composed", composed).find(apart).name == composed
    both = images(tmp_path / "both", apart, composed)
    assert (both.find(apart).name, both.find(composed).name) == (apart, composed)


def test_only_the_files_of_the_folder_that_is_meant_are_looked_at(tmp_path: Path) -> None:
    tree = images(tmp_path, "train/1.jpg", "test/1.jpg").tree
    assert Images(tree, under="test").find("1").name == "test/1.jpg"


def test_rows_of_a_table_that_is_not_clear_have_that_as_their_problem_and_read_nothing(tmp_path: Path) -> None:
    images(tmp_path, "A/img1.jpg", "B/img1.jpg", "IMG2.jpg", "img2.jpg")
    (tmp_path / "labels.csv").write_text("image,grade\nimg1.jpg,4\nIMG2.jpg,0\nimg2.jpg,3\n,1\n")
    unclear, one, other, nameless = sources.read("folder", tmp_path).rows
    assert (unclear.read, unclear.problem) == (None, "means 2 files: A/img1.jpg, B/img1.jpg")
    assert one.read and other.read and (one.read(), other.read()) == (b"IMG2.jpg", b"img2.jpg")
    assert (nameless.name, nameless.read) == ("", None)
