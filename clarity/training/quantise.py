"""The network in int8: post-training quantisation of its OpenVINO graph with NNCF, on prepared photographs."""

import logging
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clarity.imaging import to_tensor
from clarity.inference.processor import core, openvino
from clarity.inference.quiet import quiet

Images = NDArray[np.uint8]
"""(N, S, S, 3) RGB."""
SHARES = (0.0, 0.5)
"""Which share of the convolutions, from the last backwards, stays in float beside the head: tried in this order.

No layer is to blame by itself: on a ResNet-50 trained on phantoms the first stage or the last fifth in float changed
the error of the mean grade (0.03) by less than a tenth, half of the network by a fifth. With half of it in float the
form is still faster than bf16, with more it is not.
"""


def quantise(ir: Path, target: Path, photographs: Images, *, in_float: float = 0.0) -> None:
    """Write the int8 form of the graph ``ir`` to ``target`` (.xml and .bin).

    ``photographs``: prepared ones, (N, S, S, 3) uint8, whose activations set the ranges. ``in_float``: share of the
    convolutions that are left alone, from the last backwards, because the heatmap is made of the last ones. The head
    (the 1 × 1 convolution to the maps) and the mean always are: they cost nothing, and everything is read off them.
    """
    ov, nncf = openvino(), _nncf()
    model = core().read_model(ir)
    with quiet():
        quantised = nncf.quantize(
            model,
            nncf.Dataset(list(photographs), lambda image: to_tensor(image[None])),
            preset=nncf.QuantizationPreset.PERFORMANCE,
            target_device=nncf.TargetDevice.CPU,
            subset_size=len(photographs),
            ignored_scope=nncf.IgnoredScope(names=_kept(model, in_float)),
            # The form runs only where sums do not saturate, so no bit of the first layer is given away.
            advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.DISABLE),
        )
        ov.save_model(quantised, target, compress_to_fp16=False)


def choose(rows: Sequence[int], count: int, seed: int) -> list[int]:
    """``count`` of the rows (all where there are fewer), the same ones for a seed, in order."""
    if len(rows) <= count:
        return list(rows)
    return sorted(int(row) for row in np.random.default_rng(seed).choice(rows, count, replace=False))


def _kept(model: Any, share: float) -> list[str]:
    """The names of the layers that stay in float: the head, the mean after it, and the last convolutions."""
    kinds = ("Convolution", "GroupConvolution")
    layers = list(model.get_ordered_ops())
    convolutions = [layer.get_friendly_name() for layer in layers if layer.get_type_name() in kinds]
    means = [layer.get_friendly_name() for layer in layers if layer.get_type_name() == "ReduceMean"]
    return convolutions[-1 - round(share * len(convolutions)) :] + means[-1:]


def _nncf() -> ModuleType:
    """NNCF without its habits: it replaces the logger class of the whole process, and prints."""
    openvino()  # first, so that NNCF finds no telemetry either
    before = logging.getLoggerClass()
    with quiet():
        import nncf
    logging.setLoggerClass(before)
    nncf.set_log_level(logging.ERROR)
    return nncf  # type: ignore[no-any-return]
