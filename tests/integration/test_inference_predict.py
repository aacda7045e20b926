"""``clarity predict`` on files: the server's answers without a server."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from clarity.cli import serve
from clarity.errors import OverlayError
from clarity.inference import heatmap
from clarity.inference.bundle import Bundle
from serving.schemas import STATEMENT, Answer
from tests import tiny

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Bundle) -> Path:
    return tiny_bundle.path


@pytest.fixture
def photographs(tmp_path: Path) -> list[str]:
    (tmp_path / "good.jpg").write_bytes(tiny.jpeg(tiny.eye()))
    (tmp_path / "blank.jpg").write_bytes(tiny.jpeg(np.full((300, 300, 3), 255, np.uint8)))
    (tmp_path / "text.jpg").write_text("not an image")
    return [str(tmp_path / name) for name in ("good.jpg", "blank.jpg", "text.jpg", "absent.jpg")]


def run(bundle: Path, *arguments: str) -> Result:
    app = typer.Typer()
    serve.register(app)
    given = ["--bundle", str(bundle), "--config", str(PROJECT / "conf/pipeline.yaml")]
    return CliRunner().invoke(app, ["predict", *given, *arguments])


def test_json_holds_the_servers_answers_in_order_and_errors_in_their_places(
    bundle: Path, photographs: list[str]
) -> None:
    done = run(bundle, "--json", *photographs)
    assert done.exit_code == 1  # two of them could not be read
    good, blank, text, absent = json.loads(done.stdout)
    assert [row.pop("image") for row in (good, blank, text, absent)] == photographs
    assert Answer.model_validate(good).outcome == "graded"
    assert Answer.model_validate(blank).outcome == "ungradable"
    assert text["error"] == "UnreadableImage" and "grade" not in text
    assert "No such file" in absent["detail"]


def test_good_photographs_exit_with_zero(bundle: Path, photographs: list[str]) -> None:
    done = run(bundle, "--json", *photographs[:2])
    assert done.exit_code == 0, done.output


def test_the_table_says_ungradable_and_what_clarity_is_not(
    bundle: Path, photographs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    done = run(bundle, *photographs)
    assert "ungradable" in done.stdout and "UnreadableImage" in done.stdout
    assert STATEMENT in done.stderr


def test_a_folder_that_cannot_be_made_is_told_before_anything_is_graded(
    bundle: Path, photographs: list[str], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    done = run(bundle, "--overlays", str(tmp_path / "file" / "x"), photographs[0])
    assert isinstance(done.exception, OverlayError)
    assert str(done.exception) == f"{tmp_path}/file/x: Not a directory, overlays cannot be written"
    assert not done.stdout


def test_an_overlay_that_cannot_be_written_is_told(bundle: Path, photographs: list[str], tmp_path: Path) -> None:
    (tmp_path / "out" / "good.crop.png").mkdir(parents=True)
    done = run(bundle, "--overlays", str(tmp_path / "out"), photographs[0])
    assert str(done.exception) == f"{tmp_path}/out/good.crop.png: Is a directory, overlays cannot be written"


def test_overlays_are_written_for_what_has_a_grade(bundle: Path, photographs: list[str], tmp_path: Path) -> None:
    run(bundle, "--overlays", str(tmp_path / "out" / "deep"), *photographs)
    written = sorted(path.name for path in (tmp_path / "out/deep").iterdir())
    assert written == ["good.crop.png", "good.original.png"]
    original = cv2.imread(str(tmp_path / "out/deep/good.original.png"))
    assert original.shape[1] == 420 and original.shape[0] > 320  # the photograph and its legend


def test_many_photographs_are_graded_in_chunks(bundle: Path, photographs: list[str]) -> None:
    done = run(bundle, "--json", *photographs[:1] * 35)
    rows = json.loads(done.stdout)
    assert len(rows) == 35
    assert len({tuple(np.round(row["probabilities"], 5)) for row in rows}) == 1


def test_photographs_of_one_name_keep_their_own_overlays(bundle: Path, tmp_path: Path) -> None:
    for folder, seed in (("a", 1), ("b", 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "eye.jpg").write_bytes(tiny.jpeg(tiny.eye(seed=seed)))
    run(bundle, "--overlays", str(tmp_path / "out"), str(tmp_path / "a/eye.jpg"), str(tmp_path / "b/eye.jpg"))
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_the_overlays_explain_what_was_asked_for_and_carry_their_numbers(
    bundle: Path, photographs: list[str], tmp_path: Path
) -> None:
    asked = ["--json", "--heatmap", "referable", "--format", "webp", "--overlays", str(tmp_path / "out")]
    (row,) = json.loads(run(bundle, *asked, photographs[0]).stdout)
    assert row["heatmap"]["subject"] == "referable" and row["heatmap"]["media_type"] == "image/webp"
    kept = [heatmap.numbers((tmp_path / f"out/good.{kind}.webp").read_bytes()) for kind in ("crop", "original")]
    np.testing.assert_array_equal(kept[0], kept[1])
    np.testing.assert_allclose(row["heatmap"]["cells"], heatmap.evidence(kept[0], "referable"), atol=2e-2, rtol=2e-3)


def test_an_unknown_class_or_kind_of_file_is_refused(bundle: Path, photographs: list[str]) -> None:
    assert run(bundle, "--heatmap", "5", photographs[0]).exit_code == 2
    assert run(bundle, "--format", "gif", photographs[0]).exit_code == 2
