"""The bench of imaging does the same work on both sides and gives the machine back as it was."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from clarity.bench import imaging, paths
from clarity.imaging import prepare
from clarity.inference.bundle import Bundle
from tests import tiny
from tests.unit.imaging_files import jpeg, retina


def test_both_figures_come_from_the_photographs_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "large.jpg").write_bytes(jpeg(retina(4000, 2600)))
    (tmp_path / "one.jpeg").write_bytes(jpeg(retina(1150, 900)))
    (tmp_path / "small.jpg").write_bytes(jpeg(retina(400, 300)))
    (tmp_path / "letter.jpg").write_bytes(b"Dear doctor")
    before = cv2.getNumThreads()
    large, one, *apart = imaging.rows(tmp_path, 1)
    assert cv2.getNumThreads() == before
    assert (large.name, large.target, one.name, one.target) == ("imaging.large", 4.0, "imaging.one_megapixel", 1.5)
    assert [row.name for row in apart] == ["imaging.apart.224", "imaging.apart.384"]
    for row in apart:
        assert 0 < float(row.detail["mean"]) <= row.value < 2 and row.holds and not row.more_is_better
        assert row.detail["photographs"] == 3, "all photographs of the folder, and not the letter"
    for row, megapixels in ((large, 10.4), (one, 1.03)):
        assert row.value > 0 and row.unit == "x" and row.more_is_better
        assert row.detail["photographs"] == 1 and row.detail["origin"] == tmp_path.name
        assert row.detail["megapixels"] == pytest.approx(megapixels, abs=0.01)
        assert float(row.detail["grey_levels_from_full_decode"]) < 2
        ratio = float(row.detail["usual_ms"]) / float(row.detail["ours_ms"])
        assert row.value == pytest.approx(ratio, rel=0.02)


def test_the_usual_way_gives_the_same_shape() -> None:
    data = jpeg(retina(1000, 800))
    assert imaging.usual(data).shape == imaging.ours(data).shape == (1, 3, 224, 224)
    assert imaging.usual(data).dtype == imaging.ours(data).dtype


def test_a_model_grades_what_both_paths_prepare_and_the_row_says_how_often_alike(
    tmp_path: Path, tiny_bundle: Bundle
) -> None:
    for seed, size in enumerate([(4000, 2600), (1150, 900), (900, 800)]):  # of every size, so that none is drawn
        (tmp_path / f"{seed}.jpg").write_bytes(tiny.jpeg(tiny.eye(*size, seed=seed)))
    *_, same = imaging.rows(tmp_path, 1, tiny_bundle.path)
    assert (same.name, same.target, same.unit) == ("imaging.same_grades", 0.995, "share")
    assert same.detail["photographs"] == 3
    assert same.value == 1 - float(same.detail["different"]) / 3


def test_how_far_apart_is_the_mean_over_all_pixels_and_channels() -> None:
    one = prepare(jpeg(retina(1150, 900)), imaging.IMAGING, imaging.QUALITY)
    other = one.image.copy()
    other[:112] = np.where(other[:112] < 128, other[:112] + 6, other[:112] - 6)
    assert paths.Pair(one, replace(one, image=other)).apart == pytest.approx(3)


def test_a_folder_without_a_photograph_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no photograph that can be read"):
        paths.apart(lambda: [b"Dear doctor"], imaging.IMAGING, imaging.QUALITY, "letters")
