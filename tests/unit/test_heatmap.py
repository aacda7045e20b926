"""Class activation maps: equal to Grad-CAM, and drawn where they belong."""

import io
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

from clarity.errors import InferenceError
from clarity.imaging import decode, prepare_image
from clarity.inference import export, heatmap, legend, png
from clarity.inference.network import bare
from clarity.records import Crop, Field, Prepared, Quality
from tests import tiny
from tests.conftest import PROJECT


@pytest.mark.parametrize(("backbone", "size"), [("resnet50", 224), ("efficientnet_lite0", 96)])
def test_the_heatmap_is_what_pytorch_grad_cam_gives_with_a_backward_pass(backbone: str, size: int) -> None:
    grad_cam = pytest.importorskip("pytorch_grad_cam", reason="pytorch-grad-cam: not installed (clarity[dev])")
    targets = pytest.importorskip("pytorch_grad_cam.utils.model_targets")
    if backbone == "efficientnet_lite0":
        pytest.importorskip("timm", reason="timm: not installed (clarity[lite])")
    torch.manual_seed(3)
    network = bare(backbone).eval()
    torch.nn.init.normal_(network.head.weight, std=0.5)
    x = torch.randn(2, 3, size, size)
    with torch.inference_mode():
        _, maps = export.build_graph(network)(x)
    peaks = []
    for grade in range(5):
        with grad_cam.GradCAM(network, [network.trunk[-1]]) as reference:
            expected = reference(x, targets=[targets.ClassifierOutputTarget(grade)] * 2)
        for one, wanted in zip(maps.numpy(), expected, strict=True):
            ours = cv2.resize(heatmap.heatmap(one, grade), (size, size))
            # The reference stretches a second time, after its own resize.
            ours = (ours - ours.min()) / (1e-7 + (ours - ours.min()).max())
            np.testing.assert_allclose(ours, wanted, atol=1e-3)
            peaks.append(float(wanted.max()))
    assert sum(peak > 0.9 for peak in peaks) >= 3, "hardly a map to compare: nothing spoke for almost any grade"


def test_a_grade_for_which_nothing_speaks_has_an_empty_map() -> None:
    assert not heatmap.heatmap(-np.ones((5, 7, 7), np.float32), 2).any()
    assert not heatmap.heatmap(np.zeros((5, 7, 7), np.float32), 0).any()


@pytest.mark.parametrize("grade", [-1, 5, True, 2.0])
def test_an_unknown_grade_is_refused(grade: object) -> None:
    with pytest.raises(InferenceError, match="an ICDR grade"):
        heatmap.heatmap(np.ones((5, 7, 7), np.float32), grade)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(4, 7, 7), (7, 7), (1, 5, 7, 7)])
def test_a_map_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InferenceError, match="maps"):
        heatmap.heatmap(np.ones(shape, np.float32), 0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_map_that_is_not_finite_is_refused(value: float) -> None:
    maps = np.zeros((5, 7, 7), np.float32)
    maps[1, 2, 3] = value
    with pytest.raises(InferenceError, match="NaN or infinity"):
        heatmap.heatmap(maps, 0)


def test_growing_a_map_is_smooth_and_keeps_its_peak_in_place() -> None:
    cam = np.zeros((7, 7), np.float32)
    cam[2, 5] = 1
    grown = heatmap.upsample(cam, 280, 140)
    assert grown.shape == (140, 280)
    assert grown.min() >= 0 and grown.max() <= 1
    y, x = np.unravel_index(grown.argmax(), grown.shape)
    assert abs(x - 5.5 * 40) <= 1 and abs(y - 2.5 * 20) <= 1
    assert np.abs(np.diff(grown, axis=1)).max() < 0.1


_SPENT = """
import threading

import numpy as np
import psutil

from clarity.inference import heatmap

cam, process = np.ones((7, 7), np.float32), psutil.Process()
heatmap.upsample(cam, 1024, 1024)
before = {one.id: one.user_time + one.system_time for one in process.threads()}
for _ in range(200):
    heatmap.upsample(cam, 1024, 1024)
spent = {one.id: one.user_time + one.system_time - before.get(one.id, 0) for one in process.threads()}
print(spent.pop(threading.get_native_id()), sum(spent.values()))
"""


def test_growing_a_map_is_work_of_the_calling_thread_alone() -> None:
    """Threads of a BLAS spin after a large product, on cores that grade photographs by then."""
    here = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    ran = subprocess.run([sys.executable, "-c", _SPENT], env=here, cwd=PROJECT, capture_output=True, check=True)
    own, others = map(float, ran.stdout.split())
    assert own > 0.05  # seconds: enough to be seen in ticks of 0.01
    assert others < 0.2 * own


def _prepared(crop: Crop, field: Field, width: int, height: int, size: int = 64) -> Prepared:
    image = np.full((size, size, 3), 90, np.uint8)
    return Prepared(image, crop, field, Quality(1.0, True), width, height, "f" * 16)


def test_nothing_is_drawn_outside_the_field_of_view_or_the_cameras_frame() -> None:
    cut = _prepared(Crop(0, -50, 400), Field(199.5, 149.5, 200, 0.9), width=400, height=300)
    drawn = heatmap.on_prepared(cut, np.ones((7, 7), np.float32), 200)
    untouched = (drawn == 90).all(axis=2)
    assert untouched[:24].all() and untouched[-24:].all()  # above and below the frame
    assert untouched[30, 5] and untouched[100, 100] == np.False_
    assert not untouched[27:173, 100].any()


def test_the_overlay_on_the_original_puts_the_evidence_where_it_was_seen() -> None:
    photograph = np.full((600, 900, 3), 80, np.uint8)
    prepared = _prepared(Crop(200, 50, 490), Field(444.5, 294.5, 245, 1.0), width=900, height=600)
    cam = np.zeros((7, 7), np.float32)
    cam[1, 4] = 1
    drawn = heatmap.on_original(photograph, prepared, cam, max_side=450)
    assert drawn.shape == (300, 450, 3)
    change = np.abs(drawn.astype(int) - 80).sum(axis=2)
    y, x = (float((axis * change).sum() / change.sum()) for axis in np.mgrid[:300, :450])
    # The centre of cell (row 1, column 4): crop edge + (index + 1/2) * 70, less half a pixel; then half the size.
    assert abs(x - (200 + 4.5 * 70 - 0.5) / 2) < 1 and abs(y - (50 + 1.5 * 70 - 0.5) / 2) < 1


def test_both_overlays_of_one_photograph_show_the_same_place() -> None:
    photograph = tiny.eye(500, 400)
    prepared = prepare_image(photograph, tiny.IMAGING.model_copy(update={"size": 224}), tiny.PARAMS.quality)
    cam = np.zeros((7, 7), np.float32)
    cam[3, 5] = 1
    plain = prepared.image.astype(int)
    square = np.abs(heatmap.on_prepared(prepared, cam).astype(int) - plain).sum(axis=2)
    whole = np.abs(heatmap.on_original(photograph, prepared, cam).astype(int) - photograph).sum(axis=2)
    sy, sx = np.unravel_index(cv2.GaussianBlur(square.astype(np.float32), (0, 0), 8).argmax(), square.shape)
    wy, wx = np.unravel_index(cv2.GaussianBlur(whole.astype(np.float32), (0, 0), 14).argmax(), whole.shape)
    step = prepared.crop.side / 224
    assert abs(prepared.crop.left + sx * step - wx) < 12 and abs(prepared.crop.top + sy * step - wy) < 12


def test_drawing_changes_neither_the_photograph_nor_the_map() -> None:
    photograph, cam = tiny.eye(), np.random.default_rng(0).random((7, 7), np.float32)
    prepared = prepare_image(photograph, tiny.IMAGING, tiny.PARAMS.quality)
    before = photograph.copy(), cam.copy(), prepared.image.copy()
    heatmap.on_prepared(prepared, cam, 128)
    heatmap.on_original(photograph, prepared, cam)
    for was, now in zip(before, (photograph, cam, prepared.image), strict=True):
        np.testing.assert_array_equal(was, now)


@pytest.mark.parametrize("subject", [4, "referable"])
@pytest.mark.parametrize("width", [96, 224, 399, 400, 512, 1024])
def test_the_legend_fits_below_a_picture_of_any_size(width: int, subject: heatmap.Subject) -> None:
    picture = legend.with_legend(np.zeros((width, width, 3), np.uint8), subject)
    assert picture.shape[1] == width and width < picture.shape[0] <= width + 130
    if width >= 224:
        assert (picture[width:, -3:] == picture[width, 0]).all(), "text runs to the very edge"


def test_a_legend_that_is_drawn_over_does_not_show_on_the_next_picture() -> None:
    first = legend.with_legend(np.zeros((224, 224, 3), np.uint8), 2)
    untouched = first.copy()
    first[:] = 255
    np.testing.assert_array_equal(legend.with_legend(np.zeros((224, 224, 3), np.uint8), 2), untouched)
    assert not np.array_equal(legend.with_legend(np.zeros((224, 224, 3), np.uint8), 3), untouched)


def test_an_overlay_is_the_photograph_blended_with_opencv_s_viridis_by_the_evidence() -> None:
    rng = np.random.default_rng(4)
    image, cam = rng.integers(0, 256, (300, 400, 3), dtype=np.uint8), rng.random((300, 400), np.float32)
    viridis = cv2.applyColorMap(np.rint(cam * 255).astype(np.uint8), cv2.COLORMAP_VIRIDIS)[:, :, ::-1]
    alpha = 0.65 * cam[:, :, None]
    apart = np.abs(heatmap.overlay(image, cam) - np.rint(image * (1 - alpha) + viridis * alpha))
    assert apart.max() <= 2 and (apart > 1).mean() < 1e-3
    np.testing.assert_array_equal(heatmap.overlay(image, np.zeros_like(cam)), image)


def test_an_overlay_grows_brighter_with_the_evidence() -> None:
    scale = heatmap.overlay(np.zeros((1, 256, 3), np.uint8), np.linspace(0, 1, 256, dtype=np.float32)[None])
    light = cv2.cvtColor(scale, cv2.COLOR_RGB2LAB)[0, :, 0].astype(int)
    assert (np.diff(light) >= -1).all() and light[-1] - light[0] > 150


def test_a_picture_is_a_png_of_the_same_pixels_with_nothing_else_in_it(tmp_path: Path) -> None:
    picture = tiny.eye(64, 48)
    (tmp_path / "p.png").write_bytes(heatmap.encode(picture))
    with PillowImage.open(tmp_path / "p.png") as opened:
        assert opened.format == "PNG" and opened.info == {} and not opened.getexif()
        np.testing.assert_array_equal(np.asarray(opened), picture)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (33, 64), (572, 512)])
@pytest.mark.parametrize("kind", ["noise", "flat", "steps"])
def test_every_reader_sees_the_pixels_that_were_written_as_png(shape: tuple[int, int], kind: str) -> None:
    picture = {
        "noise": np.random.default_rng(6).integers(0, 256, (*shape, 3), dtype=np.uint8),
        "flat": np.full((*shape, 3), 255, np.uint8),
        "steps": np.add.outer(np.arange(shape[0]) * 85, np.arange(shape[1] * 3) * 127).astype(np.uint8),
    }[kind].reshape(*shape, 3)
    data = png.write(picture)
    with PillowImage.open(io.BytesIO(data)) as opened:
        np.testing.assert_array_equal(np.asarray(opened), picture)
    seen = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(seen[:, :, ::-1], picture)


def test_a_png_that_is_a_view_of_a_larger_picture_shows_that_part() -> None:
    picture = tiny.eye(64, 48)[10:50:2, 5:40]
    np.testing.assert_array_equal(np.asarray(PillowImage.open(io.BytesIO(png.write(picture)))), picture)


def test_a_png_is_hardly_larger_than_opencv_s_own() -> None:
    picture = tiny.eye(512, 512)
    assert len(png.write(picture)) < 1.1 * len(cv2.imencode(".png", picture[:, :, ::-1])[1])


MAPS = np.random.default_rng(5).normal(0, 8, (5, 12, 12)).astype(np.float32)


@pytest.mark.parametrize("format", ["png", "webp"])
@pytest.mark.parametrize("shape", [(64, 48), (63, 47)])
def test_an_overlay_carries_its_numbers_and_every_reader_still_sees_the_same_pixels(
    format: heatmap.Format, shape: tuple[int, int]
) -> None:
    picture = tiny.eye(*shape)
    plain, carrying = heatmap.encode(picture, format), heatmap.encode(picture, format, maps=MAPS)
    np.testing.assert_allclose(heatmap.numbers(carrying), MAPS, rtol=1e-3)
    assert heatmap.numbers(carrying).shape == MAPS.shape
    for flags in (cv2.IMREAD_COLOR, cv2.IMREAD_UNCHANGED):
        seen = [cv2.imdecode(np.frombuffer(data, np.uint8), flags) for data in (plain, carrying)]
        np.testing.assert_array_equal(seen[0], seen[1])
    opened = [PillowImage.open(io.BytesIO(data)) for data in (plain, carrying)]
    np.testing.assert_array_equal(np.asarray(opened[0].convert("RGB")), np.asarray(opened[1].convert("RGB")))
    assert opened[1].format == format.upper() and not opened[1].getexif()
    assert decode(carrying, tiny.IMAGING).shape == picture.shape, "Clarity's own reader of headers refuses it"


def test_a_webp_overlay_is_close_to_the_picture_and_an_eighth_of_its_png() -> None:
    picture = tiny.eye(512, 512)
    packed = heatmap.encode(picture, "webp")
    seen = cv2.cvtColor(cv2.imdecode(np.frombuffer(packed, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert np.abs(seen.astype(int) - picture).mean() < 4
    assert len(packed) < len(heatmap.encode(picture)) / 4


@pytest.mark.parametrize("format", ["png", "webp"])
def test_a_file_without_numbers_or_with_damaged_ones_says_so(format: heatmap.Format) -> None:
    picture = tiny.eye(64, 48)
    with pytest.raises(InferenceError, match="carries no numbers"):
        heatmap.numbers(heatmap.encode(picture, format))
    carrying = heatmap.encode(picture, format, maps=MAPS)
    at = carrying.index(b"caMP")
    with pytest.raises(InferenceError, match="damaged"):
        heatmap.numbers(carrying[: at + 20])
    with pytest.raises(InferenceError, match="no numbers"):
        heatmap.numbers(b"a text")


def test_a_png_whose_numbers_were_changed_is_not_believed() -> None:
    carrying = bytearray(heatmap.encode(tiny.eye(64, 48), maps=MAPS))
    carrying[carrying.index(b"caMP") + 40] ^= 1
    with pytest.raises(InferenceError, match="damaged"):
        heatmap.numbers(bytes(carrying))


@pytest.mark.parametrize("maps", [MAPS * 1e6, MAPS * np.nan, MAPS[0]])
def test_numbers_that_cannot_be_kept_are_refused(maps: np.ndarray) -> None:
    with pytest.raises(InferenceError, match="float16"):
        heatmap.encode(tiny.eye(64, 48), maps=maps)


def test_the_referable_map_is_grad_cam_of_the_summed_logits() -> None:
    features = torch.randn(1, 16, 7, 7, generator=torch.Generator().manual_seed(1), requires_grad=True)
    head = torch.randn(5, 16, generator=torch.Generator().manual_seed(2))
    logits = features.mean(dim=(2, 3)) @ head.T
    (gradient,) = torch.autograd.grad(logits[0, 2:].sum(), features)
    wanted = torch.relu((gradient.mean(dim=(2, 3), keepdim=True) * features).sum(dim=1))[0].detach().numpy()
    maps = torch.einsum("kc,chw->khw", head, features[0]).detach().numpy()
    np.testing.assert_allclose(heatmap.heatmap(maps, "referable"), wanted / wanted.max(), atol=1e-4)
