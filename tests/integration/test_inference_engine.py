"""The engine gives what torch gives, or a named error; and it never needs torch."""

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from clarity.errors import BundleError, InferenceError
from clarity.inference import export
from clarity.inference.bundle import Bundle
from clarity.inference.engine import Engine
from clarity.inference.scores import Scores, check
from tests import tiny


@pytest.fixture(scope="module")
def folder(tiny_bundle: Bundle) -> Path:
    return tiny_bundle.path


@pytest.fixture(scope="module")
def engine(folder: Path) -> Engine:
    return Engine.load(Bundle.load(folder), threads=1)


def batch(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 3, tiny.SIZE, tiny.SIZE)).astype(np.float32)


def torch_scores(x: np.ndarray) -> Scores:
    with torch.inference_mode():
        logits, maps = export.build_graph(tiny.TinyNetwork()).eval()(torch.from_numpy(x))
    return Scores(logits.numpy(), maps.numpy())


@pytest.mark.parametrize("count", [1, 3, 16, 17, 40])
def test_logits_and_maps_are_those_of_torch_at_any_batch_size(engine: Engine, count: int) -> None:
    x = batch(count)
    ours, theirs = engine.run(x), torch_scores(x)
    assert ours.logits.shape == (count, 5) and ours.maps.shape == theirs.maps.shape
    for mine, reference in ((ours.logits, theirs.logits), (ours.maps, theirs.maps)):
        assert mine.dtype == np.float32
        np.testing.assert_allclose(mine, reference, rtol=1e-4, atol=1e-4 * np.abs(reference).max())


def test_the_onnx_form_says_the_same(folder: Path, engine: Engine) -> None:
    x = batch(3)
    onnx.checker.check_model(str(folder / export.ONNX))
    session = onnxruntime.InferenceSession(str(folder / export.ONNX), providers=["CPUExecutionProvider"])
    logits, maps = session.run(["logits", "maps"], {"image": x})
    ours = engine.run(x)
    np.testing.assert_allclose(ours.logits, logits, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(ours.maps, maps, rtol=1e-3, atol=1e-3)


def test_no_photographs_give_no_scores(engine: Engine) -> None:
    scores = engine.run(batch(0))
    assert scores.logits.shape == (0, 5) and scores.maps.shape[:2] == (0, 5)


def test_a_photographs_scores_do_not_depend_on_its_batch(engine: Engine) -> None:
    x = batch(5)
    together = engine.run(x)
    for index in range(5):
        alone = engine.run(x[index : index + 1])
        np.testing.assert_allclose(alone.logits[0], together.logits[index], rtol=1e-5, atol=1e-5)


def test_the_tensor_is_not_changed_and_results_do_not_share_memory(engine: Engine) -> None:
    x = batch(2)
    before = x.copy()
    first = engine.run(x)
    kept = first.logits.copy()
    engine.run(batch(2, seed=9))
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(first.logits, kept)


def test_several_threads_may_share_an_engine(engine: Engine) -> None:
    inputs = [batch(1, seed) for seed in range(12)]
    expected = [engine.run(x).logits for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        for found, wanted in zip(pool.map(engine.run, inputs), expected, strict=True):
            np.testing.assert_array_equal(found.logits, wanted)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_input_that_is_not_finite_is_refused(engine: Engine, bad: float) -> None:
    x = batch(2)
    x[1, 0, 5, 5] = bad
    with pytest.raises(InferenceError, match="NaN or infinity"):
        engine.run(x)


@pytest.mark.parametrize(
    "x",
    [
        batch(1)[0],
        batch(1)[:, :, :32],
        batch(1)[:, :1],
        batch(1).astype(np.float64),
        (batch(1) * 50).astype(np.uint8),
    ],
    ids=["no batch", "another size", "one channel", "float64", "bytes"],
)
def test_a_tensor_of_another_shape_or_type_is_refused(engine: Engine, x: np.ndarray) -> None:
    with pytest.raises(InferenceError, match=r"not \(N, 3, 64, 64\) float32"):
        engine.run(x)


def test_a_network_that_overflows_gives_an_error_and_never_a_grade(tmp_path: Path) -> None:
    network = tiny.TinyNetwork()
    with torch.no_grad():
        network.head.weight.mul_(1e34)
    export_to = tmp_path / "graph"
    export.export(network, tiny.SIZE, export_to)
    bundle = tiny.bundle.write(tmp_path / "bundle", graph=export_to, facts=tiny.facts())
    with pytest.raises(InferenceError, match="hold NaN or infinity, no grade can be given"):
        Engine.load(bundle, threads=1).run(batch(1) * 1e4)


@pytest.mark.parametrize(
    ("logits", "maps", "said"),
    [
        (np.zeros((1, 4)), np.zeros((1, 5, 7, 7)), "logits"),
        (np.zeros((2, 5)), np.zeros((1, 5, 7, 7)), "logits"),
        (np.zeros((1, 5)), np.zeros((1, 5, 7, 8)), "maps"),
        (np.full((1, 5), np.nan), np.zeros((1, 5, 7, 7)), "logits"),
        (np.zeros((1, 5)), np.full((1, 5, 7, 7), -1e5), "a cell of 100000, at most 65504 can be kept"),
        (np.zeros((1, 5)), np.full((1, 5, 7, 7), np.inf), "maps"),
    ],
)
def test_what_is_not_a_result_is_refused(logits: np.ndarray, maps: np.ndarray, said: str) -> None:
    with pytest.raises(InferenceError, match=said):
        check(Scores(logits, maps), 1, (7, 7))


@pytest.mark.parametrize(("name", "keep"), [("model.xml", 200), ("model.bin", 16)])
def test_a_graph_that_cannot_be_compiled_is_a_named_error(folder: Path, tmp_path: Path, name: str, keep: int) -> None:
    copy = shutil.copytree(folder, tmp_path / "bundle")
    bundle = Bundle.load(copy)  # damaged after the check: a disk that fails
    (copy / name).write_bytes((copy / name).read_bytes()[:keep])
    with pytest.raises(InferenceError, match="cannot be compiled for cpu at fp32"):
        Engine.load(bundle)


def test_a_device_or_precision_that_is_not_there_is_named(folder: Path) -> None:
    bundle = Bundle.load(folder)
    with pytest.raises(InferenceError, match="device 'abacus': not supported"):
        Engine.load(bundle, device="abacus")
    with pytest.raises(BundleError, match="precision bf16, the bundle has only fp32"):
        Engine.load(bundle, precision="bf16")


def test_a_network_whose_head_is_something_else_is_not_exported(tmp_path: Path) -> None:
    class MaxPooled(tiny.TinyNetwork):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.features(x).amax(dim=(2, 3)))

    with pytest.raises(InferenceError, match="would not be Grad-CAM"):
        export.export(MaxPooled(), tiny.SIZE, tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_network_that_counts_on_a_number_of_images_is_not_exported(tmp_path: Path) -> None:
    class OfTwo(tiny.TinyNetwork):
        def features(self, x: torch.Tensor) -> torch.Tensor:
            found = super().features(x)
            return found.reshape(2, found.shape[1], -1, 1)

    with pytest.raises(InferenceError, match="takes one number of images only"):
        export.export(OfTwo(), tiny.SIZE, tmp_path)


def test_export_leaves_the_network_as_it_was_and_says_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    network = tiny.TinyNetwork().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    export.export(network, tiny.SIZE, tmp_path)
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert capfd.readouterr() == ("", "")


def test_grading_a_photograph_imports_neither_torch_nor_lightning(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "eye.jpg").write_bytes(tiny.jpeg(tiny.eye()))
    program = """
import sys
from pathlib import Path
from clarity.inference.bundle import Bundle
from clarity.inference.engine import Engine
from clarity.inference.grader import Grader
bundle = Bundle.load(Path(sys.argv[1]))
with Grader(bundle, Engine.load(bundle), "1") as grader:
    (graded,) = grader.grade([Path(sys.argv[2]).read_bytes()])
    assert graded.prediction is not None, graded
    assert graded.overlay(128) is not None
heavy = {"torch", "torchvision", "lightning", "pytorch_lightning", "mlflow", "matplotlib", "pandas"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run(
        [sys.executable, "-c", program, folder, tmp_path / "eye.jpg"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
