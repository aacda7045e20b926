"""The chain from bytes to prepared image and tensor: geometry, determinism, and what never leaves or changes."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clarity.errors import NotFundus
from clarity.imaging import find_field, fingerprint, prepare, prepare_image, to_tensor
from clarity.imaging.fundus import crop, equalise, inside, square
from clarity.imaging.view import full
from clarity.records import Field, Image
from tests.unit.imaging_files import IMAGING, QUALITY, encode, jpeg, retina, with_exif

FRAMES = st.tuples(st.integers(120, 700), st.integers(120, 700))


def close(found: float, expected: float, radius: float) -> bool:
    return abs(found - expected) < 0.03 * radius + 1


@settings(max_examples=25)
@given(FRAMES, st.floats(0.30, 0.65), st.floats(-0.12, 0.12), st.floats(-0.12, 0.12))
def test_the_circle_is_found_wherever_it_is_also_cut_off(
    frame: tuple[int, int], share: float, right: float, down: float
) -> None:
    width, height = frame
    radius = share * min(frame)
    cx, cy = (width - 1) / 2 + right * radius, (height - 1) / 2 + down * radius
    field = find_field(retina(width, height, centre=(cx, cy), radius=radius))
    assert close(field.cx, cx, radius) and close(field.cy, cy, radius) and close(field.radius, radius, radius)
    assert 0 < field.visible <= 1


def _text(image: Image) -> Image:
    cv2.putText(image, "OD 2019-03-04 TOPCON", (3, 14), 0, 0.5, (255, 255, 255), 1)
    return image


DRESS = {
    "text": _text,
    "dark": lambda image: (image * 0.12).astype(np.uint8),
    "grey": lambda image: np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2),
    "haze": lambda image: np.clip(image.astype(int) + 25, 0, 255).astype(np.uint8),
    "noise": lambda image: np.clip(
        image.astype(int) + np.random.default_rng(1).normal(0, 8, image.shape), 0, 255
    ).astype(np.uint8),
    "on white": lambda image: np.where(image.max(axis=2, keepdims=True) < 3, 255, image).astype(np.uint8),
}


@pytest.mark.parametrize("dress", DRESS, ids=list(DRESS))
def test_text_darkness_haze_noise_and_white_paper_do_not_move_the_circle(dress: str) -> None:
    plain = retina(400, 300)
    wanted, field = find_field(plain), find_field(DRESS[dress](plain.copy()))
    assert close(field.cx, wanted.cx, 138) and close(field.cy, wanted.cy, 138) and close(field.radius, 138, 138)


@pytest.mark.parametrize("tone", [255, 90])
def test_a_border_is_not_part_of_the_photograph(tone: int) -> None:
    framed = cv2.copyMakeBorder(retina(400, 300), 15, 15, 15, 15, cv2.BORDER_CONSTANT, value=(tone, tone, tone))
    field = find_field(framed)
    assert close(field.cx, 214.5, 138) and close(field.cy, 164.5, 138) and close(field.radius, 138, 138)


def test_how_much_of_the_circle_the_frame_shows_is_measured() -> None:
    assert find_field(retina(400, 300)).visible > 0.99
    cut = find_field(retina(400, 300, radius=170))
    assert 0.9 < cut.visible < 0.97


@pytest.mark.parametrize(
    "image",
    [np.full((300, 400, 3), 255, np.uint8), np.zeros((300, 400, 3), np.uint8), np.full((1, 1, 3), 90, np.uint8)],
    ids=["white", "black", "one pixel"],
)
def test_nothing_is_found_where_nothing_is(image: Image) -> None:
    with pytest.raises(NotFundus, match="no field of view"):
        find_field(image)


@settings(max_examples=15)
@given(FRAMES, st.sampled_from([32, 64, 224, 300]))
def test_a_prepared_image_has_its_size_whatever_the_photograph(frame: tuple[int, int], size: int) -> None:
    image = retina(*frame)
    before = image.copy()
    found = prepare_image(image, IMAGING.model_copy(update={"size": size}), QUALITY)
    assert found.image.shape == (size, size, 3) and found.image.dtype == np.uint8
    assert (found.width, found.height) == frame
    np.testing.assert_array_equal(image, before)


@settings(max_examples=15)
@given(st.integers(1, 900), st.integers(1, 900))
def test_a_photograph_of_any_shape_without_a_retina_is_prepared_and_called_so(width: int, height: int) -> None:
    found = prepare_image(np.full((height, width, 3), 128, np.uint8), IMAGING, QUALITY)
    assert found.image.shape == (224, 224, 3)
    assert found.quality.reasons == ("not a fundus photograph",) and not found.quality.gradable


def test_prepared_pixels_map_back_to_the_photograph() -> None:
    image = retina(800, 600)
    cv2.circle(image, (500, 220), 8, (255, 255, 255), -1)
    plain = IMAGING.model_copy(update={"clahe_clip_limit": 0.0})
    found = prepare_image(image, plain, QUALITY)
    v, u = np.unravel_index(found.image.min(axis=2).argmax(), (224, 224))
    scale = found.crop.side / 224
    assert abs(found.crop.left + (u + 0.5) * scale - 0.5 - 500) < 8
    assert abs(found.crop.top + (v + 0.5) * scale - 0.5 - 220) < 8


def test_an_orientation_tag_turns_the_photograph_before_it_is_prepared() -> None:
    stored = retina(400, 300)
    turned = prepare(with_exif(stored, 6, "PNG"), IMAGING, QUALITY)
    assert (turned.width, turned.height) == (300, 400)
    upright = prepare(encode(np.ascontiguousarray(np.rot90(stored, -1)), ".png"), IMAGING, QUALITY)
    np.testing.assert_array_equal(turned.image, upright.image)


def test_what_lies_outside_the_field_of_view_is_black() -> None:
    image = retina(400, 300)
    cv2.putText(image, "Jane Doe 1960", (3, 14), 0, 0.5, (255, 255, 255), 1)
    prepared = prepare_image(image, IMAGING, QUALITY).image
    y, x = np.mgrid[:224, :224] - 111.5
    assert prepared[np.hypot(x, y) > 114].max() == 0


@settings(max_examples=30)
@given(st.floats(-50, 4000), st.floats(-50, 3000), st.floats(3, 2500), st.integers(1, 256))
def test_the_mask_of_a_cropped_field_is_where_its_pixels_lie_in_the_circle(
    cx: float, cy: float, radius: float, size: int
) -> None:
    area = square(Field(cx, cy, radius, 1.0))
    places = (np.arange(size) + 0.5) * area.side / size - 0.5
    away = np.hypot((area.left + places - cx)[None, :], (area.top + places - cy)[:, None])
    np.testing.assert_array_equal(inside(size) > 0, away <= radius)


def test_a_crop_has_the_values_of_opencv_s_warp() -> None:
    image, area = retina(400, 300), square(Field(201.3, 148.8, 152.4, 1.0))
    scale = area.side / 224
    place = np.array([[scale, 0, area.left + (scale - 1) / 2], [0, scale, area.top + (scale - 1) / 2]])
    warped = cv2.warpAffine(image, place, (224, 224), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    np.testing.assert_array_equal(crop(full(image), area, 224), warped)


def test_the_same_bytes_are_prepared_alike_in_any_thread() -> None:
    files = [jpeg(retina(400 + 20 * k, 300)) for k in range(6)]
    alone = [prepare(data, IMAGING, QUALITY) for data in files]
    with ThreadPoolExecutor(6) as threads:
        together = list(threads.map(lambda data: prepare(data, IMAGING, QUALITY), files * 4))
    for one, other in zip(alone * 4, together, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        assert one.quality == other.quality and one.crop == other.crop and one.field == other.field


def test_clahe_is_opencv_s_on_the_lightness_alone_and_leaves_its_input() -> None:
    image = retina(224, 224)
    before = image.copy()
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    lab[:, :, 0] = cv2.createCLAHE(2.0, (8, 8)).apply(lab[:, :, 0])
    np.testing.assert_array_equal(equalise(image, clip_limit=2.0, tiles=8), cv2.cvtColor(lab, cv2.COLOR_LAB2RGB))
    np.testing.assert_array_equal(equalise(image, clip_limit=0, tiles=8), image)
    np.testing.assert_array_equal(image, before)


def test_the_tensor_is_torchvision_s_normalisation() -> None:
    images = np.stack([retina(64, 64), retina(64, 64)[::-1]])
    tensor = to_tensor(images)
    assert tensor.shape == (2, 3, 64, 64) and tensor.dtype == np.float32
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(tensor, ((images / 255 - mean) / std).transpose(0, 3, 1, 2), atol=1e-5)
    np.testing.assert_array_equal(to_tensor(images[0])[0], tensor[0])
    for wrong in (images.astype(np.float32), images[..., :2], images[0, 0]):
        with pytest.raises(ValueError, match="not uint8"):
            to_tensor(wrong)


def test_the_fingerprint_changes_with_what_changes_pixels_and_with_nothing_else() -> None:
    same = fingerprint(IMAGING)
    assert len(same) == 16 and int(same, 16) >= 0 and same == fingerprint(IMAGING)
    assert fingerprint(IMAGING.model_copy(update={"max_pixels": 10, "max_bytes": 10})) == same
    for change in ({"size": 225}, {"clahe_clip_limit": 2.5}, {"clahe_tiles": 4}):
        assert fingerprint(IMAGING.model_copy(update=change)) != same
    assert prepare_image(retina(), IMAGING, QUALITY).fingerprint == same
