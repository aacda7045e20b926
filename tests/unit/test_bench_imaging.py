"""The bench of imaging does the same work on both sides and gives the machine back as it was."""

from pathlib import Path

import cv2
import pytest

from clarity.bench import imaging
from tests.unit.imaging_files import jpeg, retina


def test_both_figures_come_from_the_photographs_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "large.jpg").write_bytes(jpeg(retina(4000, 2600)))
    (tmp_path / "one.jpeg").write_bytes(jpeg(retina(1150, 900)))
    (tmp_path / "small.jpg").write_bytes(jpeg(retina(400, 300)))
    (tmp_path / "letter.jpg").write_bytes(b"Dear doctor")
    before = cv2.getNumThreads()
    large, one = imaging.rows(tmp_path, 1)
    assert cv2.getNumThreads() == before
    assert (large.name, large.target, one.name, one.target) == ("imaging.large", 4.0, "imaging.one_megapixel", 1.5)
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
