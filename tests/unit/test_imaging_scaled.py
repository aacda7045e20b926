"""A JPEG that is decoded at a fraction of its size gives what it gives when all of it is decoded."""

from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from clarity.data import phantoms
from clarity.data.phantoms.writing import encode as phantom_jpeg
from clarity.errors import UnreadableImage
from clarity.imaging import decode, prepare, prepare_image
from clarity.imaging.decode import at_scale
from clarity.imaging.view import coarsened, coarsest, full
from clarity.params import ImagingParams
from clarity.records import Eye, Image, Prepared
from tests.unit.imaging_files import IMAGING, QUALITY, encode, jpeg, pillow, retina, with_exif

NEAR = 2.0
"""Grey levels, in the mean of a prepared image."""


def both(data: bytes, imaging: ImagingParams = IMAGING) -> tuple[Prepared, Prepared]:
    """As it is prepared, and as it would be from all of its pixels."""
    return prepare(data, imaging, QUALITY), prepare_image(decode(data, imaging), imaging, QUALITY)


def apart(one: Prepared, other: Prepared) -> float:
    return float(np.abs(one.image.astype(np.float64) - other.image).mean())


def assert_same(data: bytes, imaging: ImagingParams = IMAGING) -> Prepared:
    fast, whole = both(data, imaging)
    assert apart(fast, whole) < NEAR
    assert (fast.width, fast.height, fast.fingerprint) == (whole.width, whole.height, whole.fingerprint)
    for name in ("cx", "cy", "radius"):
        assert abs(getattr(fast.field, name) - getattr(whole.field, name)) < 2
    assert abs(fast.crop.left - whole.crop.left) < 2 and abs(fast.crop.top - whole.crop.top) < 2
    assert abs(fast.crop.side - whole.crop.side) < 2
    assert (fast.quality.gradable, fast.quality.reasons) == (whole.quality.gradable, whole.quality.reasons)
    assert abs(fast.quality.score - whole.quality.score) < 0.05
    return fast


@pytest.mark.parametrize("height", [300, 640, 1100, 2100])
@pytest.mark.parametrize("size", [224, 384])
def test_phantoms_of_every_size_are_within_two_grey_levels_of_their_full_decode(height: int, size: int) -> None:
    drawn = phantoms.draw(height, 3, size=height, eye=Eye.RIGHT)
    found = assert_same(phantom_jpeg(drawn.image), IMAGING.model_copy(update={"size": size}))
    radius = drawn.field.radius
    assert abs(found.field.cx - drawn.field.cx) < 0.015 * radius
    assert abs(found.field.cy - drawn.field.cy) < 0.015 * radius
    assert abs(found.field.radius - radius) < 0.015 * radius


@settings(max_examples=12)
@given(st.integers(520, 1700), st.integers(520, 1300), st.floats(0.30, 0.6))
def test_coordinates_are_those_of_the_original_whatever_its_sides(width: int, height: int, share: float) -> None:
    radius = share * min(width, height)
    found = assert_same(jpeg(retina(width, height, radius=radius)))
    assert abs(found.field.cx - (width - 1) / 2) < 0.01 * radius + 1
    assert abs(found.field.cy - (height - 1) / 2) < 0.01 * radius + 1
    assert abs(found.field.radius - radius) < 0.01 * radius + 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photograph_is_scaled_and_keeps_its_coordinates(orientation: int) -> None:
    """Sides that 4 does not divide: the pixels that are only part picture move from one side to the other."""
    data = with_exif(retina(1603, 1201, centre=(700, 630), radius=520), orientation)
    view = at_scale(data, IMAGING, least=256)
    assert view.factor == 4 and max(view.image.shape) == 401
    assert_same(data)


def test_a_mark_stays_where_it_is_in_the_original() -> None:
    image = np.zeros((1201, 1603, 3), np.uint8)
    cv2.circle(image, (1000, 400), 30, (255, 255, 255), -1)
    for orientation in range(1, 9):
        data = with_exif(image, orientation)
        view, whole = at_scale(data, IMAGING, least=150), decode(data, IMAGING)
        assert view.factor == 8
        x, y = (
            (at + 0.5) * 8 - 0.5 + start for at, start in zip(_middle(view.image), (view.left, view.top), strict=True)
        )
        assert (abs(x - _middle(whole)[0]) < 0.3) and abs(y - _middle(whole)[1]) < 0.3


def _middle(image: Image) -> tuple[float, float]:
    light = image[:, :, 1].astype(np.float64)
    light[light < 40] = 0
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    return float((x * light).sum() / light.sum()), float((y * light).sum() / light.sum())


@given(st.integers(1, 900), st.integers(1, 900), st.integers(1, 500))
@settings(max_examples=30)
def test_a_jpeg_is_decoded_to_the_smallest_size_that_is_not_too_small(width: int, height: int, least: int) -> None:
    view = at_scale(jpeg(np.full((height, width, 3), 90, np.uint8)), IMAGING, least=least)
    shorter = min(width, height)
    assert view.factor in (1, 2, 4, 8) and (view.width, view.height) == (width, height)
    assert view.image.shape[:2] == (-(-height // view.factor), -(-width // view.factor))
    assert view.factor == 1 or shorter >= least * view.factor
    assert view.factor == 8 or shorter < least * view.factor * 2


def test_a_photograph_of_less_than_four_pixels_for_each_that_is_shown_is_decoded_in_full() -> None:
    """At half its size it would have two for each that is shown, rounded on their own, and a network may see that."""
    grain = np.random.default_rng(5).integers(-9, 10, (1068, 1608, 3))
    data = jpeg(np.clip(retina(1608, 1068) + grain, 0, 255).astype(np.uint8))
    fast, whole = both(data, IMAGING.model_copy(update={"size": 384}))
    np.testing.assert_array_equal(fast.image, whole.image)


def test_a_small_field_of_view_is_decoded_again_larger() -> None:
    """In the first look it would be 220 pixels across; the quality gate wants to see 256."""
    data = jpeg(retina(2400, 2000, radius=440))
    first = at_scale(data, IMAGING, least=round(1.9 * IMAGING.size))
    assert first.factor == 4 and 2 * 440 / first.factor < 0.95 * 256
    fast, whole = both(data)
    assert apart(fast, whole) < 1.0
    assert abs(fast.quality.measures["sharpness"] - whole.quality.measures["sharpness"]) < 0.004


def _file(kind: str, image: Image) -> bytes:
    if kind == "progressive":
        return encode(image, ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    if kind == "grey":
        return encode(image[:, :, 1], ".jpg")
    if kind == "CMYK":
        return pillow(Pillow.fromarray(image).convert("CMYK"), "JPEG", quality=95)
    out = BytesIO()
    Pillow.fromarray(image).save(out, "JPEG", quality=92, subsampling=kind)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["progressive", "grey", "CMYK", "4:4:4", "4:2:2", "4:2:0"])
def test_every_kind_of_jpeg_is_scaled(kind: str) -> None:
    data = _file(kind, retina(1300, 1100))
    assert at_scale(data, IMAGING, least=256).factor == 4
    assert_same(data)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_truncated_jpeg_is_refused_at_every_scale(share: float) -> None:
    grain = np.random.default_rng(3).integers(-6, 7, (900, 1200, 3))
    data = jpeg(np.clip(retina(1200, 900) + grain, 0, 255).astype(np.uint8))
    for least in (100, 200, 400, 900):
        with pytest.raises(UnreadableImage, match="damaged JPEG"):
            at_scale(data[: int(len(data) * share)], IMAGING, least=least)
    with pytest.raises(UnreadableImage):
        prepare(data[: int(len(data) * share)], IMAGING, QUALITY)


def test_the_number_of_threads_changes_no_pixel() -> None:
    data, before = jpeg(retina(1900, 1500)), cv2.getNumThreads()
    found = []
    try:
        for threads in (1, 2, 5):
            cv2.setNumThreads(threads)
            found.append(prepare(data, IMAGING, QUALITY))
    finally:
        cv2.setNumThreads(before)
    for one in found[1:]:
        np.testing.assert_array_equal(one.image, found[0].image)
        assert one.quality == found[0].quality and one.crop == found[0].crop and one.field == found[0].field


@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([1, 2, 4, 8, 16]))
def test_coarser_pixels_are_the_means_of_squares(width: int, height: int, factor: int) -> None:
    image = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    before = image.copy()
    coarse = coarsened(full(image), factor)
    np.testing.assert_array_equal(image, before)
    assert coarse.factor == factor and (coarse.width, coarse.height) == (width, height)
    if factor <= min(width, height):
        means = image[: height // factor * factor, : width // factor * factor].astype(np.float64)
        means = means.reshape(height // factor, factor, width // factor, factor, 3).mean(axis=(1, 3))
        assert np.abs(coarse.image - means).max() <= 0.51
    assert coarsest(width, height) <= max(1, width / height)


def test_real_photographs_are_within_two_grey_levels_of_their_full_decode(fundus: Path) -> None:
    folders = (
        "eyepacs_full_resolution",
        "idrid/B. Disease Grading/1. Original Images/a. Training Set",
        "eyepacs/train",
    )
    found = [
        path for name in folders for path in sorted((fundus / name).glob("*.jp*g"))[:: 40 if "full" not in name else 1]
    ]
    assert len(found) > 30
    away, verdicts = [], []
    for path in found:
        fast, whole = both(path.read_bytes())
        away.append(apart(fast, whole))
        verdicts.append(fast.quality.gradable == whole.quality.gradable)
        assert abs(fast.field.radius - whole.field.radius) < 0.01 * whole.field.radius
    assert max(away) < NEAR and np.mean(away) < 1.2 and all(verdicts)
