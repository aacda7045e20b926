"""Every adapter on the layout in which people have its set, and what each says of a careless table."""

# ruff: noqa: E501 (a set's layout is easier to read on one line)

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from clarity.data import sources
from clarity.data.sources.row import parse_eye, parse_grade
from clarity.errors import ManifestError, ParameterError, SourceError
from clarity.records import Eye


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def rows(path: Path, name: str | None = None, **options: object) -> dict[str, sources.SourceRow]:
    found = name or sources.detect(path)
    assert name is None or found == name
    return {row.name: row for row in sources.read(found, path, **options).rows}  # type: ignore[arg-type]


def test_eyepacs_names_patient_and_eye_and_takes_eyeqs_quality(tmp_path: Path) -> None:
    write(tmp_path, {"trainLabels.csv": "image,level\n10_left,0\n10_right,4\n", "quality.csv": "image,quality\n10_left.jpeg,good\n",
                     "train/10_left.jpeg": "a", "train/10_right.jpeg": "b"})  # fmt: skip
    found = rows(tmp_path)
    left, right = found["train/10_left.jpeg"], found["train/10_right.jpeg"]
    assert (left.source, left.patient, left.eye, left.grade, left.quality) == (
        "eyepacs",
        "eyepacs:10",
        Eye.LEFT,
        0,
        "good",
    )
    assert (right.patient, right.eye, right.grade, right.quality) == ("eyepacs:10", Eye.RIGHT, 4, "")
    assert left.read is not None and left.read() == b"a"


def test_idrid_keeps_apart_the_same_file_name_of_train_and_test_and_reads_its_ragged_header(tmp_path: Path) -> None:
    base = "B. Disease Grading"
    header = "Image name,Retinopathy grade,Risk of macular edema ,,,\r\n"
    write(tmp_path, {
        f"{base}/2. Groundtruths/a. IDRiD_Disease Grading_Training Labels.csv": header + "IDRiD_001,3,2,,,\r\n",
        f"{base}/2. Groundtruths/b. IDRiD_Disease Grading_Testing Labels.csv": header + "IDRiD_001,1,0,,,\r\n",
        f"{base}/1. Original Images/a. Training Set/IDRiD_001.jpg": "train",
        f"{base}/1. Original Images/b. Testing Set/IDRiD_001.jpg": "test",
    })  # fmt: skip
    for place in (tmp_path, tmp_path / base):
        found = rows(place)
        assert {name: (row.grade, row.split, row.read and row.read()) for name, row in found.items()} == {
            "train/IDRiD_001.jpg": (3, "train", b"train"),
            "test/IDRiD_001.jpg": (1, "test", b"test"),
        }
        assert len({row.patient for row in found.values()}) == 2


def test_aptos_finds_its_pictures_and_passes_over_a_test_table_without_grades(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"train.csv": "id_code,diagnosis\n000c,2\n", "test.csv": "id_code\n111d\n", "train_images/000c.png": "x"},
    )
    found = rows(tmp_path)
    assert [(row.source, row.grade, row.patient) for row in found.values()] == [("aptos", 2, "aptos:000c")]


def test_aptos_keeps_the_sides_of_the_repack(tmp_path: Path) -> None:
    write(tmp_path, {"train_1.csv": "id_code,diagnosis\na,0\n", "valid.csv": "id_code,diagnosis\nb,1\n",
                     "test.csv": "id_code,diagnosis\nc,2\n", "i/a.png": "", "i/b.png": "", "i/c.png": ""})  # fmt: skip
    assert {row.grade: row.split for row in rows(tmp_path).values()} == {0: "train", 1: "validation", 2: "test"}


def test_messidor2_joins_the_two_eyes_of_an_examination_and_leaves_the_ungradable_without_grade(tmp_path: Path) -> None:
    write(tmp_path, {
        "messidor_data.csv": "image_id,adjudicated_dr_grade,adjudicated_dme,adjudicated_gradable\n"
        "A_1.png,2,0,1\nA_2.png,,,0\nIM3.jpg,0,0,1\n",
        "pairs.csv": "left;right\nA_1.png;A_2.png\n",
        "IMAGES/A_1.png": "", "IMAGES/A_2.png": "", "IMAGES/IM3.JPG": "",
    })  # fmt: skip
    found = rows(tmp_path)
    one, two, three = found["IMAGES/A_1.png"], found["IMAGES/A_2.png"], found["IMAGES/IM3.JPG"]
    assert one.patient == two.patient != three.patient
    assert (one.eye, two.eye, three.eye) == (Eye.LEFT, Eye.RIGHT, Eye.UNKNOWN)
    assert (two.grade, two.quality, two.problem) == (None, "ungradable", "")


def test_ddr_reads_its_lists_and_calls_grade_five_ungradable(tmp_path: Path) -> None:
    write(tmp_path, {"DR_grading/train.txt": "007-1.jpg 0\n007-2.jpg 5\n", "DR_grading/valid.txt": "007-3.jpg 4\n",
                     "DR_grading/train/007-1.jpg": "", "DR_grading/train/007-2.jpg": "", "DR_grading/valid/007-3.jpg": ""})  # fmt: skip
    found = sorted(rows(tmp_path).values(), key=lambda row: row.name)
    assert [(r.source, r.grade, r.quality, r.split) for r in found] == [
        ("ddr", 0, "", "train"), ("ddr", None, "ungradable", "train"), ("ddr", 4, "", "validation")]  # fmt: skip


def test_deepdrid_takes_the_grade_of_the_eye_and_the_field_of_the_name(tmp_path: Path) -> None:
    base = "regular_fundus_images/regular-fundus-training"
    write(tmp_path, {
        f"{base}/regular-fundus-training.csv": "patient_id,image_id,image_path,Overall quality,left_eye_DR_Level,"
        "right_eye_DR_Level,patient_DR_Level\n1,1_l1,\\regular-fundus-training\\1\\1_l1.jpg,1,1,3,3\n"
        "1,1_r2,\\regular-fundus-training\\1\\1_r2.jpg,0,1,3,3\n",
        f"{base}/Images/1/1_l1.jpg": "", f"{base}/Images/1/1_r2.jpg": "",
    })  # fmt: skip
    left, right = rows(tmp_path).values()
    assert (left.patient, left.eye, left.field, left.grade, left.quality) == (
        "deepdrid:1",
        Eye.LEFT,
        "macula",
        1,
        "good",
    )
    assert (right.patient, right.eye, right.field, right.grade, right.split) == (
        "deepdrid:1", Eye.RIGHT, "disc", 3, "train")  # fmt: skip


def test_medmnist_keeps_the_official_sides_and_encodes_the_same_pixels_as_the_same_bytes(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (2, 28, 28, 3), np.uint8)
    arrays = {f"{part}_images": picture for part in ("train", "val", "test")}
    np.savez(
        tmp_path / "retinamnist.npz",
        **arrays,
        **{f"{p}_labels": np.array([[0], [4]], np.uint8) for p in ("train", "val", "test")},
    )  # type: ignore[arg-type]
    for place in (tmp_path, tmp_path / "retinamnist.npz"):
        found = rows(place)
        assert [row.split for row in found.values()] == ["train"] * 2 + ["validation"] * 2 + ["test"] * 2
        first, second = found["train/00001.png"], found["test/00001.png"]
        assert first.read and second.read and first.read() == second.read()
        import cv2

        decoded = cv2.imdecode(np.frombuffer(first.read(), np.uint8), cv2.IMREAD_COLOR_RGB)
        assert (decoded == picture[1]).all()


def test_a_broken_npz_is_a_source_error(tmp_path: Path) -> None:
    (tmp_path / "retinamnist.npz").write_bytes(b"PK nothing")
    with pytest.raises(SourceError, match="not a readable npz"):
        rows(tmp_path)


def test_a_folder_with_a_table_is_read_by_the_usual_column_names(tmp_path: Path) -> None:
    write(tmp_path, {"labels.csv": "Filename;Patient ID;Laterality;ICDR;split\na.png;7;OD;1;val\n", "x/a.png": ""})
    (row,) = rows(tmp_path).values()
    assert (row.source, row.name, row.patient, row.eye, row.grade, row.split) == (
        "folder", "x/a.png", "folder:7", Eye.RIGHT, 1, "validation")  # fmt: skip


def test_a_folders_own_column_names_can_be_said(tmp_path: Path) -> None:
    write(tmp_path, {"t.csv": "bild,befund\na.png,3\n", "a.png": ""})
    (row,) = rows(tmp_path, "folder", options={"image": "bild", "grade": "befund"}).values()
    assert row.grade == 3
    with pytest.raises(ManifestError, match="no column 'grad' for grade; it has bild, befund"):
        rows(tmp_path, "folder", options={"image": "bild", "grade": "grad"})


@pytest.mark.parametrize(
    ("names", "grades"),
    [(("0", "3"), [0, 3]), (("No_DR", "Proliferate_DR"), [0, 4]), (("grade_1", "2 moderate"), [1, 2])],
)
def test_one_folder_a_grade_is_read(tmp_path: Path, names: tuple[str, str], grades: list[int]) -> None:
    write(tmp_path, {f"train/{names[0]}/a.png": "", f"test/{names[1]}/b.png": ""})
    found = sorted(rows(tmp_path).values(), key=lambda row: row.grade or 0)
    assert [row.grade for row in found] == grades
    assert [row.split for row in found] == ["train", "test"]


def test_folders_between_a_photograph_and_its_grade_do_not_hide_it(tmp_path: Path) -> None:
    write(tmp_path, {"0/patientA/l.jpg": "", "0/patientA/visit 12/r.jpg": "", "4 - PDR/B/1.jpg": "",
                     "1. Original Images/severe/test/c.jpg": ""})  # fmt: skip
    found = rows(tmp_path)
    assert {name: row.grade for name, row in found.items()} == {
        "0/patientA/l.jpg": 0, "0/patientA/visit 12/r.jpg": 0, "4 - PDR/B/1.jpg": 4,
        "1. Original Images/severe/test/c.jpg": 3}  # fmt: skip
    assert found["1. Original Images/severe/test/c.jpg"].split == "test"
    assert not [row for row in found.values() if row.problem]


def test_a_photograph_in_folders_of_two_grades_may_be_a_numbered_patients_and_is_not_believed(tmp_path: Path) -> None:
    write(tmp_path, {"0/2/l.jpg": "", "0/0/l.jpg": "", "grade_3/1_visit/l.jpg": "", "1/x/l.jpg": ""})
    assert {name: row.problem for name, row in rows(tmp_path).items()} == {
        "0/2/l.jpg": "lies in folders of the grades 2 and 0",
        "0/0/l.jpg": "",
        "grade_3/1_visit/l.jpg": "lies in folders of the grades 1 and 3",
        "1/x/l.jpg": "",
    }


def test_images_that_no_row_uses_are_named_and_other_files_are_not(tmp_path: Path) -> None:
    write(tmp_path / "folders", {"0/a.jpg": "", "3/b.jpg": "", "top.png": "", "unknown/c.jpg": "", "notes.txt": "",
                                 "1. Original Images/readme/d.tif": ""})  # fmt: skip
    assert sources.read("folder", tmp_path / "folders").unused == [
        "1. Original Images/readme/d.tif", "top.png", "unknown/c.jpg"]  # fmt: skip
    write(tmp_path / "table", {"t.csv": "image,grade\na,1\nb.jpg,2\ngone.jpg,0\n", **{f"{n}.jpg": "" for n in "abcde"}})
    assert sources.read("folder", tmp_path / "table").unused == ["c.jpg", "d.jpg", "e.jpg"]


def test_the_eyepacs_and_idrid_photographs_here_are_read_whole(fundus: Path) -> None:
    eyepacs, idrid = rows(fundus / "eyepacs"), rows(fundus / "idrid")
    assert (len(eyepacs), len({row.patient for row in eyepacs.values()})) == (758, 379)
    assert [sum(row.grade == grade for row in idrid.values()) for grade in range(5)] == [134, 20, 136, 74, 49]
    assert not [row for row in [*eyepacs.values(), *idrid.values()] if row.problem or row.read is None]
    assert {"good", "usable", "reject", ""} == {row.quality for row in eyepacs.values()}
    assert sources.read("eyepacs", fundus / "eyepacs").unused == []
    left = sources.read("idrid", fundus / "idrid").unused
    assert left and all(name.startswith("A. Segmentation/") for name in left)


def test_a_folder_with_a_name_of_its_own_is_a_source_of_its_own_with_patients_of_its_own(tmp_path: Path) -> None:
    write(tmp_path, {"labels.csv": "image,patient,grade\na.png,7,1\n", "a.png": "", "0/b.png": "", "3/c.png": ""})
    (row,) = sources.read("folder", tmp_path, called="clinic-A_1").rows
    assert (row.source, row.name, row.patient) == ("clinic-A_1", "a.png", "clinic-A_1:7")
    (tmp_path / "labels.csv").unlink()
    found = sources.read("folder", tmp_path, called="B").rows
    assert [(row.source, row.patient) for row in found] == [("B", "B:0/b"), ("B", "B:3/c")]


@pytest.mark.parametrize("called", ["eyepacs", "folder", "a b", "a/b", "../x", "-a", "clinic:A", "Klinik\n", "x" * 33])
def test_a_name_that_could_be_taken_for_something_else_is_refused(tmp_path: Path, called: str) -> None:
    write(tmp_path, {"0/a.png": "", "1/b.png": ""})
    with pytest.raises(ParameterError, match="write up to 32 letters, digits, - and _, and not the name of a source"):
        sources.read("folder", tmp_path, called=called)


def test_a_public_set_takes_no_name(tmp_path: Path) -> None:
    write(tmp_path, {"trainLabels.csv": "image,level\n10_left,0\n"})
    with pytest.raises(ParameterError, match="source eyepacs: takes no name"):
        sources.read("eyepacs", tmp_path, called="clinicA")


# careless tables


def test_a_missing_column_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    write(tmp_path, {"trainLabels.csv": "image,grade\n10_left,0\n"})
    with pytest.raises(ManifestError, match=r"trainLabels.csv: no column 'level'; it has image, grade"):
        rows(tmp_path)


@pytest.mark.parametrize("text", ["7", "-1", "mild", "1.5"])
def test_an_unknown_grade_is_the_rows_problem_and_not_the_sets(tmp_path: Path, text: str) -> None:
    write(
        tmp_path,
        {"trainLabels.csv": f"image,level\n10_left,{text}\n10_right,0\n", "10_left.jpeg": "", "10_right.jpeg": ""},
    )
    found = rows(tmp_path)
    assert found["10_left.jpeg"].problem == f"grade '{text}': not one of the ICDR grades 0 to 4"
    assert found["10_right.jpeg"].problem == ""


def test_a_row_without_its_file_has_nothing_to_read(tmp_path: Path) -> None:
    write(tmp_path, {"trainLabels.csv": "image,level\n1_left,0\n"})
    assert rows(tmp_path)["1_left"].read is None


def test_a_table_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "trainLabels.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(ManifestError, match="not UTF-8 text"):
        rows(tmp_path, "eyepacs")


def test_an_unknown_layout_says_what_is_known(tmp_path: Path) -> None:
    write(tmp_path, {"notes.txt": "hello"})
    with pytest.raises(SourceError, match=r"not a layout that Clarity knows; say which with --source \(eyepacs, "):
        sources.detect(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"bild,befund\na.png,3\n", "t.csv: no column for image; it has bild, befund; say --column image="),
        (b"image,befund\na.png,3\n", "t.csv: no column for grade; it has image, befund; say --column grade="),
        (b"image,grade\n", "t.csv: no rows below the header"),
        (b"image,grade\nM\xfcller.png,1\n", "t.csv: not UTF-8 text; save it as UTF-8"),
        (b"", "t.csv: no rows below the header"),
    ],
)
def test_a_table_that_nobody_can_read_says_why_whether_or_not_the_source_is_named(
    tmp_path: Path, text: bytes, said: str
) -> None:
    (tmp_path / "t.csv").write_bytes(text)
    for ask in (sources.detect, lambda place: sources.read("folder", place)):
        with pytest.raises(ManifestError, match=said):
            ask(tmp_path)


def test_two_layouts_in_one_folder_are_for_a_person_to_choose(tmp_path: Path) -> None:
    write(tmp_path, {"trainLabels.csv": "image,level\n", "DR_grading.csv": "id_code,diagnosis\n"})
    with pytest.raises(SourceError, match="could be eyepacs or ddr"):
        sources.detect(tmp_path)


def test_an_absent_folder_and_an_unknown_source_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no such folder"):
        sources.detect(tmp_path / "nowhere")
    with pytest.raises(ParameterError, match="source 'kaggle': not one of"):
        sources.read("kaggle", tmp_path)


def test_a_folder_that_may_not_be_read_is_named() -> None:
    script = (
        "import os, sys, tempfile, pathlib\n"
        "from clarity.data import sources\n"
        "from clarity.errors import SourceError\n"
        "if os.getuid() == 0: os.setuid(65534)\n"
        "root = pathlib.Path(tempfile.mkdtemp()); (root / 'closed').mkdir(); (root / 'closed').chmod(0)\n"
        "try: sources.detect(root)\n"
        "except SourceError as error: print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "Permission denied, the folder cannot be read" in said.stdout


def test_a_link_to_nowhere_does_not_stop_the_others(tmp_path: Path) -> None:
    write(tmp_path, {"trainLabels.csv": "image,level\n1_left,0\n2_left,1\n", "1_left.jpeg": "x"})
    (tmp_path / "2_left.jpeg").symlink_to(tmp_path / "gone")
    assert len(rows(tmp_path)) == 2


@pytest.mark.parametrize(
    ("text", "eye"), [("OS", Eye.LEFT), ("right", Eye.RIGHT), ("", Eye.UNKNOWN), ("up", Eye.UNKNOWN)]
)
def test_eyes_are_read_as_clinics_write_them(text: str, eye: Eye) -> None:
    assert parse_eye(text) is eye


def test_a_grade_written_as_a_whole_float_is_a_grade() -> None:
    assert parse_grade(" 2.0 ") == (2, "")
    assert parse_grade("") == (None, "")
