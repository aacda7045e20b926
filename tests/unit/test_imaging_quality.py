"""The quality gate: what it names, what it lets pass, and how it does against EyeQ's graders."""

import csv
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from clarity import params as parameters
from clarity.imaging import find_field, prepare, prepare_image
from clarity.records import Image, Quality
from tests.unit.imaging_files import IMAGING, retina

PROJECT = Path(__file__).resolve().parents[2]
QUALITY = parameters.load(PROJECT / "conf/pipeline.yaml").quality
OTHER = ("not a fundus photograph",)


def judge(image: Image) -> Quality:
    return prepare_image(image, IMAGING, QUALITY).quality


def test_a_sound_photograph_is_gradable_without_a_reason() -> None:
    found = judge(retina())
    assert found.gradable and found.reasons == () and found.score > 0.8


@pytest.mark.parametrize(
    ("reason", "image"),
    [
        ("too dark", (retina() * 0.15).astype(np.uint8)),
        ("too bright", np.where(retina() > 5, 255 - (255 - retina().astype(int)) // 3, retina()).astype(np.uint8)),
        ("blurred", cv2.GaussianBlur(retina(), (0, 0), 9)),
        ("too small", cv2.resize(retina(), (160, 120), interpolation=cv2.INTER_AREA)),
        ("field of view cut", retina(400, 300, centre=(20, 150), radius=140)),
    ],
)
def test_each_defect_is_named(reason: str, image: Image) -> None:
    found = judge(image)
    assert reason in found.reasons and not found.gradable
    assert OTHER[0] not in found.reasons


def _document() -> Image:
    page = np.full((500, 400, 3), 250, np.uint8)
    for line in range(22):
        cv2.putText(page, "Dear Sir or Madam, with reference to", (15, 25 + 21 * line), 0, 0.6, (20, 20, 20), 1)
    return page


def _cat() -> Image:
    """Orange, round and furry, on a sofa."""
    random = np.random.default_rng(5)
    sofa = cv2.GaussianBlur(random.integers(0, 256, (300, 400, 3)).astype(np.float32), (0, 0), 2) * 2 - 128
    picture = np.clip(sofa + np.float32([90, 100, 130]), 0, 255).astype(np.uint8)
    cv2.circle(picture, (200, 160), 90, (210, 130, 60), -1)
    for ear in (130, 270):
        cv2.fillPoly(picture, [np.int32([[ear - 35, 110], [ear, 20], [ear + 35, 110]])], (200, 120, 55))
    for eye in (170, 230):
        cv2.circle(picture, (eye, 150), 14, (90, 200, 90), -1)
    fur = random.normal(0, 25, picture.shape[:2])[:, :, None]
    return np.clip(picture + fur, 0, 255).astype(np.uint8)


def _in_a_disc(image: Image) -> Image:
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    away = np.hypot(x - image.shape[1] / 2, y - image.shape[0] / 2)
    return np.where(away[:, :, None] < 0.45 * min(image.shape[:2]), image, 0).astype(np.uint8)


def _noise() -> Image:
    return np.random.default_rng(2).integers(0, 256, (300, 400, 3), dtype=np.uint8)


def _blank(*tone: int) -> Image:
    return np.full((300, 400, 3), tone, np.uint8)


@pytest.mark.parametrize(
    "image",
    [
        _cat(), _document(), _noise(), _blank(255, 255, 255), _blank(0, 0, 0), _blank(200, 110, 60),
        _in_a_disc(_noise()), _in_a_disc(_blank(200, 110, 60)), _in_a_disc(_blank(40, 60, 200)),
    ],
    ids=["cat", "document", "noise", "white", "black", "orange", "noise in a disc", "orange disc",
         "blue disc"],
)  # fmt: skip
def test_what_is_no_retina_is_not_a_fundus_photograph(image: Image) -> None:
    found = judge(image)
    assert found.reasons == OTHER and found.score == 0 and not found.gradable


def test_thresholds_come_from_the_configuration() -> None:
    strict = QUALITY.model_copy(update={"min_brightness": 0.9})
    assert prepare_image(retina(), IMAGING, strict).quality.reasons == ("too dark",)


def test_a_grey_photograph_of_a_retina_is_gradable() -> None:
    grey = np.repeat(cv2.cvtColor(retina(), cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2)
    assert judge(grey).gradable


def test_the_score_does_not_depend_on_the_camera_s_resolution() -> None:
    large = retina(1600, 1200)
    small = cv2.resize(large, (800, 600), interpolation=cv2.INTER_AREA)
    assert abs(judge(large).measures["sharpness"] - judge(small).measures["sharpness"]) < 0.03


def test_graders_and_the_gate_agree_on_real_photographs(fundus: Path) -> None:
    """On every sixth of EyeQ's labels: hardly a good photograph is refused, and many that graders rejected."""
    with (fundus / "eyepacs" / "quality.csv").open() as file:
        labels = {row["image"]: row["quality"] for row in csv.DictReader(file)}
    seen, refused = Counter[str](), Counter[str]()
    for name, label in sorted(labels.items())[::6]:
        found = prepare((fundus / "eyepacs" / "train" / name).read_bytes(), IMAGING, QUALITY)
        seen[label] += 1
        refused[label] += not found.quality.gradable
        assert found.quality.reasons != OTHER
    assert refused["good"] <= 0.02 * seen["good"]
    assert refused["reject"] >= 0.4 * seen["reject"]


def test_real_originals_show_their_whole_circle(fundus: Path) -> None:
    folder = fundus / "idrid/B. Disease Grading/1. Original Images/a. Training Set"
    data = (folder / "IDRiD_001.jpg").read_bytes()
    found = prepare(data, IMAGING, QUALITY)
    assert (found.width, found.height) == (4288, 2848) and found.quality.gradable
    assert 1650 < found.field.radius < 1800
    assert b"Exif" not in found.image.tobytes()
    assert find_field(cv2.resize(found.image, (448, 448))).visible > 0.8
