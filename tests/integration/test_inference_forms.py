"""The forms of one network: exported, quantised, compared, chosen, run on every device that there is."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from clarity.errors import BundleError, InferenceError
from clarity.imaging import to_tensor
from clarity.inference import bundle as bundles
from clarity.inference import export, processor
from clarity.inference.bundle import Bundle
from clarity.inference.engine import Engine, choose
from clarity.inference.parity import Parity
from clarity.inference.processor import PRECISIONS, Precision
from clarity.inference.torch_gpu import TorchGpu
from clarity.params import ModelParams
from clarity.registry.models import Registry
from clarity.training import backbones, forms
from tests import tiny

NATIVE = processor.here()
EVERY: tuple[Precision, ...] = ("fp32", "bf16", "int8")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """With every form that this machine can measure."""
    return tiny.write_bundle(tmp_path_factory.mktemp("whole"), precisions=PRECISIONS)


def batch(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 3, tiny.SIZE, tiny.SIZE)).astype(np.float32)


def test_each_native_form_is_measured_and_the_others_say_why_not(whole: Bundle) -> None:
    assert set(whole.spec.parity) == set(PRECISIONS)
    assert whole.spec.parity["fp32"].passed and whole.spec.parity["fp32"].n == 20
    for precision, found in whole.spec.parity.items():
        if precision not in NATIVE:
            assert found.reasons == (forms.EMULATED,) and not found.n


def test_forms_are_those_that_passed_and_bf16_needs_no_second_file(whole: Bundle) -> None:
    passed = {precision for precision, found in whole.spec.parity.items() if found.passed}
    assert set(whole.spec.forms) == passed
    assert {"fp32": export.IR, "bf16": export.IR, "int8": export.IR_INT8}.items() >= whole.spec.forms.items()


def test_the_card_shows_each_form(whole: Bundle) -> None:
    assert "| fp32 | 1.0000 | 0.0000 | 0.0000 | 1.0000 (1.0000) | 20 | passed |" in whole.card


@pytest.mark.parametrize("precision", EVERY)
def test_a_form_runs_and_says_much_the_same(whole: Bundle, precision: Precision) -> None:
    if precision not in whole.spec.forms:
        pytest.skip(f"{precision}: not a form here")
    engine = Engine.load(whole, precision=precision, threads=1)
    assert engine.precision == precision
    wanted = Engine.load(whole, precision="fp32", threads=1).run(batch(9))
    found = engine.run(batch(9))
    np.testing.assert_allclose(found.logits, wanted.logits, atol=0.1 * np.abs(wanted.logits).max())
    assert (precision == "fp32") == bool(np.array_equal(found.logits, wanted.logits))


def test_auto_takes_the_fastest_form_that_is_native_and_passed(whole: Bundle) -> None:
    everything = whole.spec.model_copy(
        update={
            "forms": dict.fromkeys(PRECISIONS, export.IR),
            "parity": dict.fromkeys(PRECISIONS, tiny.PASSED),
        }
    )
    bundle = Bundle(whole.path, everything, "")
    assert choose(bundle, "auto", EVERY) == "int8"
    assert choose(bundle, "auto", ("fp32", "bf16")) == "bf16"
    assert choose(bundle, "auto", ("fp32",)) == "fp32"
    failed = {"fp32": tiny.PASSED, "int8": Parity(n=9, passed=False)}
    unproven = Bundle(whole.path, everything.model_copy(update={"parity": failed}), "")
    assert choose(unproven, "auto", EVERY) == "fp32"


@pytest.mark.parametrize("figures", [{"grades_equal": 0.41}, {"spearman_median": None}, {"n": 0}])
def test_a_form_that_is_said_to_have_passed_and_whose_figures_say_otherwise_is_not_taken(
    whole: Bundle, figures: dict[str, float | None]
) -> None:
    said = {"fp32": tiny.PASSED, "int8": tiny.PASSED.model_copy(update=figures)}
    forms_ = whole.spec.model_copy(update={"forms": dict.fromkeys(said, export.IR), "parity": said})
    bundle = Bundle(whole.path, forms_, "")
    assert choose(bundle, "auto", EVERY) == "fp32"
    assert "form int8: its parity with the trained network was not passed" in (bundle.refusal() or "")


def test_without_a_form_in_fp32_nothing_runs_in_fp32_whatever_would_run_it(whole: Bundle) -> None:
    lacking = whole.spec.model_copy(update={"forms": {"bf16": export.IR}, "parity": {"bf16": tiny.PASSED}})
    for device in ("cpu", "onnx"):
        with pytest.raises(BundleError, match="precision fp32, the bundle has only bf16"):
            Engine.load(Bundle(whole.path, lacking, ""), device=device, precision="fp32")  # type: ignore[arg-type]
    with pytest.raises(BundleError, match="precision fp32, the bundle has only bf16"):
        Engine.load(Bundle(whole.path, lacking, ""), device="onnx")


class SaysNan(tiny.TinyNetwork):
    """Of the brightest of the photographs of ``tiny.measure``."""

    def features(self, x: torch.Tensor) -> torch.Tensor:
        pixels = np.random.default_rng(5).integers(0, 256, (20, tiny.SIZE, tiny.SIZE, 3), dtype=np.uint8)
        means = np.sort(to_tensor(pixels).mean(axis=(1, 2, 3)))
        bright = x.mean(dim=(1, 2, 3), keepdim=True)
        return super().features(x) + 1e-6 * torch.sqrt(float(means[-2:].mean()) - bright)


def test_a_form_that_says_nan_of_one_photograph_is_left_out_and_named(tmp_path: Path) -> None:
    """Every comparison with NaN would be true, or an index out of bounds: it is told before anything is compared."""
    network = tiny.TinyNetwork()
    export.export(SaysNan(), tiny.SIZE, tmp_path / "graph")
    measured = tiny.measure(network, tmp_path / "graph", tiny.SIZE, ["fp32", "bf16"])
    for found in measured.values():
        assert not found.passed and "hold NaN or infinity, no grade can be given" in found.reasons[0]


def test_a_precision_that_the_processor_lacks_or_nobody_knows_is_refused(whole: Bundle) -> None:
    forms_ = whole.spec.model_copy(update={"forms": dict.fromkeys(PRECISIONS, export.IR)})
    with pytest.raises(InferenceError, match=r"precision int8: not native here.*native: fp32, bf16"):
        choose(Bundle(whole.path, forms_, ""), "int8", ("fp32", "bf16"))
    with pytest.raises(InferenceError, match="precision 'fp8': unknown"):
        Engine.load(whole, precision="fp8")  # type: ignore[arg-type]


def test_a_form_that_did_not_pass_is_left_out_with_its_file_and_its_reason(tmp_path: Path) -> None:
    network = tiny.TinyNetwork()
    export.export(network, tiny.SIZE, tmp_path / "graph")
    parity = tiny.measure(network, tmp_path / "graph", tiny.SIZE, PRECISIONS)
    parity["int8"] = Parity(n=20, passed=False, reasons=("share of equal grades 0.9, at least 0.99",))
    bundle = bundles.write(tmp_path / "bundle", graph=tmp_path / "graph", facts=tiny.facts(), parity=parity)
    assert "int8" not in bundle.spec.forms and not (bundle.path / export.IR_INT8).exists()
    assert "left out: share of equal grades 0.9, at least 0.99" in bundle.card
    with pytest.raises(BundleError, match=r"precision int8, the bundle has only .*\(share of equal grades 0.9"):
        Engine.load(bundle, precision="int8")


def test_a_form_that_goes_wrong_is_found_out(tmp_path: Path) -> None:
    """The graph of another network is not this network's form, whatever its name."""
    export.export(tiny.TinyNetwork(seed=1), tiny.SIZE, tmp_path)
    found = tiny.measure(tiny.TinyNetwork(seed=0), tmp_path, tiny.SIZE)["fp32"]
    assert not found.passed and "largest relative deviation" in found.reasons[0]


def test_without_photographs_to_calibrate_on_there_is_no_int8(tmp_path: Path) -> None:
    network = tiny.TinyNetwork()
    export.export(network, tiny.SIZE, tmp_path)
    on = forms.Yardstick(lambda: [batch(4)], np.arange(4), 1.0, forms.metrics.Operating("expected"))
    found = forms.measure(network, tmp_path, on)["int8"]
    assert not found.passed and not (tmp_path / export.IR_INT8).exists()


def test_a_bundle_that_was_not_compared_is_not_registered(tmp_path: Path) -> None:
    export.export(tiny.TinyNetwork(), tiny.SIZE, tmp_path / "graph")
    draft = bundles.write(tmp_path / "bundle", graph=tmp_path / "graph", facts=tiny.facts())
    with pytest.raises(BundleError, match=r"no fp32 form whose parity .* so it is not registered"):
        Registry("http://127.0.0.1:9").register(draft.path, "run", "name")  # before anything is asked of a server


@pytest.mark.parametrize("count", [1, 2, 7, 40])
def test_streams_give_the_same_scores_in_the_same_order(whole: Bundle, count: int) -> None:
    wide = Engine.load(whole, precision="fp32", threads=2, streams="throughput")
    narrow = Engine.load(whole, precision="fp32", threads=1)
    for seed in range(2):
        x = batch(count, seed)
        found, wanted = wide.run(x), narrow.run(x)
        np.testing.assert_allclose(found.logits, wanted.logits, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found.maps, wanted.maps, rtol=1e-4, atol=1e-4)


def test_onnx_runtime_says_the_same(whole: Bundle) -> None:
    pytest.importorskip("onnxruntime", reason="ONNX Runtime: not installed (clarity[onnx])")
    engine = Engine.load(whole, device="onnx", threads=1)
    assert (engine.device, engine.precision) == ("onnx", "fp32")
    found, wanted = engine.run(batch(20)), Engine.load(whole, precision="fp32", threads=1).run(batch(20))
    np.testing.assert_allclose(found.logits, wanted.logits, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.maps, wanted.maps, rtol=1e-4, atol=1e-3)
    with pytest.raises(InferenceError, match="precision bf16: not native here"):
        Engine.load(whole, device="onnx", precision="bf16")


def test_without_a_graphics_card_the_device_gpu_is_a_named_error(whole: Bundle) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a graphics card")
    with pytest.raises(InferenceError, match="no CUDA graphics card"):
        Engine.load(whole, device="gpu")


def test_torchs_backend_rebuilds_the_network_from_the_bundles_tensors(tmp_path: Path) -> None:
    """On the CPU, where there is no graphics card: the same code but for the device."""
    network = backbones.build(ModelParams(name="x", backbone="resnet50", weights="none", dropout=0.0)).eval()
    torch.nn.init.normal_(network.head.weight, std=0.5)
    export.export(network, tiny.SIZE, tmp_path / "graph")
    bundle = bundles.write(tmp_path / "bundle", graph=tmp_path / "graph", facts=tiny.facts(backbone="resnet50"))
    wanted = Engine.load(bundle, precision="fp32").run(batch(3))
    for precision, tolerance in (("fp32", 1e-3), ("bf16", 0.05)):
        engine = TorchGpu.load(bundle, precision, device="cpu")  # type: ignore[arg-type]
        assert engine.map_shape == (2, 2)
        found = engine.run(batch(3))
        assert found.logits.dtype == np.float32
        np.testing.assert_allclose(found.logits, wanted.logits, atol=tolerance * np.abs(wanted.logits).max())


def test_tensors_of_an_unknown_network_are_a_named_error(whole: Bundle) -> None:
    with pytest.raises(InferenceError, match="backbone tiny: unknown"):
        TorchGpu.load(whole, "fp32", device="cpu")


def test_damaged_tensors_are_a_named_error(whole: Bundle, tmp_path: Path) -> None:
    spec = whole.spec.model_copy(update={"backbone": "resnet50"})
    (tmp_path / export.WEIGHTS).write_bytes(b"damaged")
    with pytest.raises(InferenceError, match=f"{export.WEIGHTS}: cannot be loaded"):
        TorchGpu.load(Bundle(tmp_path, spec, ""), "fp32", device="cpu")


def test_where_openvino_has_no_build_onnx_runtime_is_what_runs(whole: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = Engine.load(whole, precision="fp32").run(batch(2))
    monkeypatch.setitem(sys.modules, "openvino", None)
    engine = Engine.load(whole)
    assert (engine.device, engine.precision) == ("onnx", "fp32")
    np.testing.assert_allclose(engine.run(batch(2)).logits, wanted.logits, atol=1e-4)
    with pytest.raises(InferenceError, match="device cpu: OpenVINO is not installed; use onnx"):
        Engine.load(whole, device="cpu")


def test_without_torch_a_graphics_card_is_refused_by_name(whole: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InferenceError, match="device gpu: torch is not installed; use cpu"):
        Engine.load(whole, device="gpu")


def test_an_engine_starts_without_what_only_training_needs(whole: Bundle) -> None:
    import subprocess
    import sys

    program = """
import sys
from pathlib import Path
from clarity.inference.bundle import Bundle
from clarity.inference.engine import Engine
Engine.load(Bundle.load(Path(sys.argv[1])))
heavy = {"torch", "nncf", "onnx", "onnxruntime", "scipy", "sklearn", "pandas", "mlflow"} & set(sys.modules)
assert not heavy, heavy
"""
    command = [sys.executable, "-c", program, str(whole.path)]
    done = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
