"""The most that this machine multiplies: large matrix products in OpenVINO and in torch, and a plain FMA loop, on the
same threads."""

from collections.abc import Callable
from typing import Any

import numpy as np

from clarity.bench import fma
from clarity.inference.processor import Precision, core, openvino

_SIDE = 2048
GFLOP = 2 * _SIDE**3 / 1e9
"""A multiplication and an addition are two."""
_HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}


def products(precision: Precision, threads: int) -> dict[str, Callable[[], object]]:
    """``GFLOP`` each, by the name of who multiplies: square products of 2,048 in OpenVINO, in torch (not int8), and as
    many fused multiplications and additions in registers (fp32).
    """
    found = {"OpenVINO MatMul": _by_openvino(precision, threads)}
    if precision != "int8":
        found["torch matmul"] = _by_torch(precision)
    if precision == "fp32":
        found["FMA loop"] = fma.loop(GFLOP, threads)
    return found


def _by_openvino(precision: Precision, threads: int) -> Callable[[], object]:
    ov = openvino()
    random = np.random.default_rng(0)
    rows = ov.opset13.parameter([_SIDE, _SIDE], np.float32)
    columns = ov.opset13.constant(random.uniform(-1, 1, (_SIDE, _SIDE)).astype(np.float32))
    factors = (rows, columns)
    if precision == "int8":
        factors = (_quantised(ov, rows, 0.0, 256), _quantised(ov, columns, -1.0, 255))
    model = ov.Model([ov.opset13.matmul(*factors, False, False)], [rows])
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": str(threads),
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
    }
    request = core().compile_model(model, "CPU", options).create_infer_request()
    given = random.uniform(0, 1, (_SIDE, _SIDE)).astype(np.float32)
    return lambda: request.infer([given], share_inputs=True, share_outputs=True)


def _quantised(ov: Any, values: Any, low: float, levels: int) -> Any:
    ends = [np.float32(low), np.float32(1.0)] * 2
    return ov.opset13.fake_quantize(values, *ends, levels)


def _by_torch(precision: Precision) -> Callable[[], object]:
    import torch

    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    rows, columns = (torch.rand(_SIDE, _SIDE, dtype=kind) for _ in range(2))

    def product() -> object:
        with torch.inference_mode():
            return torch.nn.functional.linear(rows, columns)

    return product
