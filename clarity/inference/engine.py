"""The network as it runs: tensors in, logits and class activation maps out. OpenVINO on the CPU, without torch."""

import os
import threading
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from clarity import grades
from clarity.errors import InferenceError
from clarity.inference.bundle import Bundle
from clarity.records import Tensor

DEVICES = ("cpu",)
_HINTS = {"fp32": "f32"}
_MAX_BATCH = 16
"""Larger batches are run in pieces: no faster in one, and memory stays bounded."""


@dataclass(frozen=True, slots=True)
class Scores:
    """What the network says of N prepared photographs."""

    logits: NDArray[np.float32]
    """(N, 5), not calibrated."""
    maps: NDArray[np.float32]
    """(N, 5, h, w): evidence for each grade by place; signed, not normalised."""


class Engine:
    """A compiled bundle. Safe to call from several threads: calls take turns, each uses all of ``threads``.

    Does not survive a fork: load it in the process that runs it.
    """

    def __init__(self, compiled: Any, *, size: int, precision: str) -> None:
        self._request = compiled.create_infer_request()
        self._lock = threading.Lock()
        self.size = size
        self.precision = precision
        self._map_shape = tuple(side.get_length() for side in list(compiled.output("maps").partial_shape)[2:])

    @classmethod
    def load(cls, bundle: Bundle, *, device: str = "cpu", precision: str = "auto", threads: int = 0) -> Self:
        """Compile the bundle's form of that precision; ``auto`` takes the fastest that the bundle has.

        ``threads`` is how many cores one call uses; 0 means all that this process may use. Raises InferenceError
        where the device is unknown or the graph cannot be compiled, BundleError where the bundle lacks the form.
        """
        if device not in DEVICES:
            raise InferenceError(f"device {device!r}: not supported, one of {', '.join(DEVICES)}")
        chosen = next(iter(bundle.spec.forms)) if precision == "auto" else precision
        graph = bundle.form(chosen)
        import openvino as ov

        options = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": str(threads or cores()),
            # Without it a CPU with bf16 instructions silently computes in bf16.
            "INFERENCE_PRECISION_HINT": _HINTS.get(chosen, "f32"),
            # Pinned threads of two engines on one machine would share cores and leave others idle.
            "ENABLE_CPU_PINNING": "NO",
        }
        try:
            compiled = ov.Core().compile_model(str(graph), device.upper(), options)
            return cls(compiled, size=bundle.spec.imaging.size, precision=chosen)
        except (RuntimeError, ValueError) as error:
            reason = str(error).strip().splitlines()[-1]
            raise InferenceError(f"{graph}: cannot be compiled for {device} at {chosen}: {reason}") from None

    def run(self, tensor: Tensor) -> Scores:
        """(N, 3, S, S) float32 -> logits (N, 5) and maps (N, 5, h, w), float32; any N.

        Raises InferenceError: another shape or type, a NaN or infinity in or out, or a map of the wrong shape.
        """
        self._check_input(tensor)
        parts = [self._run_piece(tensor[i : i + _MAX_BATCH]) for i in range(0, len(tensor), _MAX_BATCH)]
        if not parts:
            classes = len(grades.GRADES)
            return Scores(np.zeros((0, classes), np.float32), np.zeros((0, classes, *self._map_shape), np.float32))
        return Scores(np.concatenate([p.logits for p in parts]), np.concatenate([p.maps for p in parts]))

    def _run_piece(self, tensor: Tensor) -> Scores:
        with self._lock:
            try:
                result = self._request.infer([np.ascontiguousarray(tensor)], share_inputs=True)
            except RuntimeError as error:
                raise InferenceError(f"batch of {len(tensor)}: {str(error).strip().splitlines()[-1]}") from None
            scores = Scores(np.array(result["logits"]), np.array(result["maps"]))
        check(scores, len(tensor), self._map_shape)
        return scores

    def _check_input(self, tensor: Tensor) -> None:
        wanted = (3, self.size, self.size)
        if tensor.ndim != 4 or tensor.shape[1:] != wanted or tensor.dtype != np.float32:
            raise InferenceError(f"tensor {tensor.shape} {tensor.dtype}: not (N, 3, {self.size}, {self.size}) float32")
        if not np.isfinite(tensor).all():
            raise InferenceError(f"tensor {tensor.shape}: holds NaN or infinity")


def check(scores: Scores, count: int, map_shape: tuple[int, ...]) -> None:
    """Refuse what is not a result, so that it never becomes a grade. Raises InferenceError."""
    classes = len(grades.GRADES)
    if scores.logits.shape != (count, classes):
        raise InferenceError(f"logits {scores.logits.shape}: not ({count}, {classes})")
    if scores.maps.shape != (count, classes, *map_shape):
        raise InferenceError(f"maps {scores.maps.shape}: not {(count, classes, *map_shape)}")
    for name, values in (("logits", scores.logits), ("maps", scores.maps)):
        if not np.isfinite(values).all():
            raise InferenceError(f"{name} {values.shape}: hold NaN or infinity, no grade can be given")


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
