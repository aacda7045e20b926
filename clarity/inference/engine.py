"""The network as it runs: tensors in, logits and class activation maps out. On the CPU without torch."""

import importlib.util
from collections.abc import Collection
from typing import Literal, Self, get_args

from clarity.errors import InferenceError
from clarity.inference import export, processor
from clarity.inference.bundle import Bundle
from clarity.inference.processor import PRECISIONS, Precision
from clarity.inference.scores import Backend, Scores, Streams, check, check_input, join
from clarity.records import Tensor

Device = Literal["auto", "cpu", "gpu", "onnx"]
Wish = Precision | Literal["auto"]


class Engine:
    """A network that is ready to run. Safe to call from several threads: calls take turns.

    Does not survive a fork: load it in the process that runs it.
    """

    def __init__(self, backend: Backend, *, size: int, precision: Precision, device: Device) -> None:
        self._backend = backend
        self.size = size
        self.precision = precision
        self.device = device

    @classmethod
    def load(
        cls,
        bundle: Bundle,
        *,
        device: Device = "auto",
        precision: Wish = "auto",
        threads: int = 0,
        streams: Streams = "latency",
    ) -> Self:
        """Make one of the bundle's forms ready to run.

        ``device``: "cpu" (OpenVINO), "onnx" (ONNX Runtime, fp32), "gpu" (torch with CUDA); "auto" is OpenVINO, where
        the forms' parity was measured, and ONNX Runtime where OpenVINO has no build. ``precision``: "auto" is the
        fastest form that passed parity and that the device computes in natively. ``threads``: cores to use, 0 for all
        that this process may use. ``streams``: "latency" gives every call all of them, "throughput" splits a large
        batch over them.

        Raises InferenceError where the device or the precision cannot be had here or the graph cannot be compiled,
        BundleError where the bundle lacks the form.
        """
        if device not in get_args(Device):
            raise InferenceError(f"device {device!r}: not supported, one of {', '.join(get_args(Device))}")
        chosen: Device = _usual() if device == "auto" else device
        backend, form = _LOADERS[chosen](bundle, precision, threads or processor.cores(), streams)
        return cls(backend, size=bundle.spec.imaging.size, precision=form, device=chosen)

    def run(self, tensor: Tensor) -> Scores:
        """(N, 3, S, S) float32 -> logits (N, 5) and maps (N, 5, h, w), float32; any N.

        Raises InferenceError: another shape or type, a NaN or infinity in or out, or a map of the wrong shape.
        """
        check_input(tensor, self.size)
        if not len(tensor):
            return join([], self._backend.map_shape)
        scores = self._backend.run(tensor)
        check(scores, len(tensor), self._backend.map_shape)
        return scores


def choose(bundle: Bundle, wish: Wish, native: Collection[Precision]) -> Precision:
    """The precision to run the bundle at where ``native`` ones are had.

    ``auto`` never takes a form whose parity did not pass. Raises BundleError where the bundle lacks the form,
    InferenceError where the precision is unknown or not native.
    """
    if wish == "auto":
        parity = bundle.spec.parity
        offered = [p for p in PRECISIONS if p in bundle.spec.forms and p in native]
        proven = [p for p in offered if p in parity and parity[p].proves(p)]
        wish = proven[-1] if proven else "fp32"
    if wish not in PRECISIONS:
        raise InferenceError(f"precision {wish!r}: unknown, one of auto, {', '.join(PRECISIONS)}")
    bundle.form(wish)
    if wish not in native:
        had = ", ".join(p for p in PRECISIONS if p in native)
        raise InferenceError(f"precision {wish}: not native here, it would be emulated or saturate; native: {had}")
    return wish


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _usual() -> Device:
    return "cpu" if _installed("openvino") or not _installed("onnxruntime") else "onnx"


def _cpu(bundle: Bundle, wish: Wish, threads: int, streams: Streams) -> tuple[Backend, Precision]:
    if not _installed("openvino"):
        raise InferenceError("device cpu: OpenVINO is not installed; use onnx")
    from clarity.inference.openvino_cpu import OpenvinoCpu

    form = choose(bundle, wish, processor.here())
    return OpenvinoCpu.load(bundle.form(form), form, threads, streams), form


def _onnx(bundle: Bundle, wish: Wish, threads: int, streams: Streams) -> tuple[Backend, Precision]:  # noqa: ARG001
    from clarity.inference.onnx_cpu import OnnxCpu

    only: tuple[Precision] = ("fp32",)
    form = choose(bundle, wish, only)
    return OnnxCpu.load(bundle.path / export.ONNX, threads), form


def _gpu(bundle: Bundle, wish: Wish, threads: int, streams: Streams) -> tuple[Backend, Precision]:  # noqa: ARG001
    from clarity.inference import torch_gpu

    form = choose(bundle, wish, torch_gpu.native())
    return torch_gpu.TorchGpu.load(bundle, form), form


_LOADERS = {"cpu": _cpu, "onnx": _onnx, "gpu": _gpu}
