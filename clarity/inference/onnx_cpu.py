"""ONNX Runtime on the CPU: the neutral form, where OpenVINO has no build. Needs the extra ``onnx``; fp32."""

from pathlib import Path
from typing import Any, Self

import numpy as np

from clarity.errors import InferenceError
from clarity.inference.scores import Scores, join, reason
from clarity.records import Tensor

_MAX_BATCH = 16


class OnnxCpu:
    """A session; ONNX Runtime's own are safe to call from several threads."""

    def __init__(self, session: Any) -> None:
        self._session = session
        maps = next(output for output in session.get_outputs() if output.name == "maps")
        self.map_shape = tuple(int(side) for side in maps.shape[2:])

    @classmethod
    def load(cls, graph: Path, threads: int) -> Self:
        """Raises InferenceError where ONNX Runtime is not installed or cannot read the graph."""
        try:
            import onnxruntime
        except ImportError:
            raise InferenceError("device onnx: ONNX Runtime is not installed, pip install 'clarity-dr[onnx]'") from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            return cls(onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"]))
        except Exception as error:  # noqa: BLE001 — its errors have no common base but Exception
            raise InferenceError(f"{graph}: cannot be compiled for onnx at fp32: {reason(error)}") from None

    def run(self, tensor: Tensor) -> Scores:
        """As ``Backend.run``."""
        pieces = [np.ascontiguousarray(tensor[i : i + _MAX_BATCH]) for i in range(0, len(tensor), _MAX_BATCH)]
        try:
            parts = [Scores(*self._session.run(["logits", "maps"], {"image": piece})) for piece in pieces]
        except Exception as error:  # noqa: BLE001
            raise InferenceError(f"batch of {len(tensor)}: {reason(error)}") from None
        return join(parts, self.map_shape)
