"""Torch on a CUDA graphics card: channels last, bf16 autocast where asked for. Torch is imported when it is loaded."""

import threading
from typing import TYPE_CHECKING, Self

from clarity.errors import InferenceError, WeightsUnavailable
from clarity.inference import export
from clarity.inference.bundle import Bundle
from clarity.inference.processor import Precision
from clarity.inference.scores import Scores, join, reason
from clarity.records import Tensor

if TYPE_CHECKING:
    import torch

_MAX_BATCH = 64


def native() -> tuple[Precision, ...]:
    """What the graphics card computes in. Raises InferenceError where there is none."""
    try:
        import torch
    except ImportError:
        raise InferenceError("device gpu: torch is not installed; use cpu") from None
    if not torch.cuda.is_available():
        raise InferenceError("device gpu: torch finds no CUDA graphics card here; use cpu")
    return ("fp32", "bf16") if torch.cuda.is_bf16_supported() else ("fp32",)


class TorchGpu:
    """The network of ``weights.safetensors``; calls of several threads take turns."""

    def __init__(self, graph: "torch.nn.Module", precision: Precision, size: int, device: str) -> None:
        import torch

        self._graph = graph.eval().to(device).to(memory_format=torch.channels_last)
        self._precision, self._device = precision, device
        self._lock = threading.Lock()
        self.map_shape = tuple(self._run(torch.zeros(1, 3, size, size)).maps.shape[2:])

    @classmethod
    def load(cls, bundle: Bundle, precision: Precision, device: str = "cuda") -> Self:
        """Raises InferenceError where the bundle's tensors are not those of a network that this code knows."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        from clarity.inference.network import bare

        try:
            network = bare(bundle.spec.backbone)
            network.load_state_dict(load_file(bundle.path / export.WEIGHTS))
        except (WeightsUnavailable, SafetensorError, RuntimeError, OSError) as error:
            raise InferenceError(f"{bundle.path / export.WEIGHTS}: cannot be loaded: {reason(error)}") from None
        return cls(export.build_graph(network), precision, bundle.spec.imaging.size, device)

    def run(self, tensor: Tensor) -> Scores:
        """As ``Backend.run``."""
        import torch

        with self._lock:
            try:
                pieces = torch.split(torch.from_numpy(tensor), _MAX_BATCH)
                return join([self._run(piece) for piece in pieces], self.map_shape)
            except RuntimeError as error:  # out of memory is one of them
                raise InferenceError(f"batch of {len(tensor)}: {reason(error)}") from None

    def _run(self, piece: "torch.Tensor") -> Scores:
        import torch

        there = piece.to(self._device, memory_format=torch.channels_last)
        low = self._precision == "bf16"
        with torch.inference_mode(), torch.autocast(self._device, torch.bfloat16, enabled=low):
            logits, maps = self._graph(there)
        return Scores(logits.float().cpu().numpy(), maps.float().cpu().numpy())
