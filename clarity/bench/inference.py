"""Grade + heatmap an image: the forms of a ResNet-50 at 224 px against torchvision fp32 with pytorch-grad-cam.

Both sides get the same weights, inputs and threads, and take turns. The fp32 heatmaps are held equal to 1e-3 before
anything is timed; of bf16 and int8 the detail says how alike they are.
"""

import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from clarity.bench import fresh, peak
from clarity.bench import network as nets
from clarity.bench.rows import Row, interleaved
from clarity.errors import InferenceError
from clarity.inference import processor
from clarity.inference.engine import Engine
from clarity.inference.parity import spearman
from clarity.inference.processor import PRECISIONS, Precision
from clarity.inference.scores import Streams
from clarity.records import Tensor

TARGETS: dict[Precision, float] = {"fp32": 5.0, "bf16": 8.0, "int8": 16.0}
GFLOP = 8.2
"""Of one ResNet-50 pass at 224 px: 4.1 billion multiplications and additions (He et al. 2016, table 1)."""
FLOOR = 0.75
_CALIBRATION = 32
STREAMS: dict[int, Streams] = {1: "latency", 8: "throughput"}
"""One photograph now, or many soon: the caller's choice, by batch size."""


def rows(repeats: int) -> list[Row]:
    """The figures of this machine, for the precisions that it computes in natively; needs the extra `dev`."""
    import torch

    threads = processor.cores()
    torch.set_num_threads(threads)
    native = [precision for precision in PRECISIONS if precision in processor.here()]
    images = nets.photographs(_CALIBRATION)
    model = nets.resnet()
    with tempfile.TemporaryDirectory(prefix="clarity-bench-") as folder:
        bundle, photograph = nets.draft(model, images, Path(folder)), Path(folder) / "one.jpg"
        photograph.write_bytes(nets.one_megapixel())
        found = fresh.rows(bundle.path, photograph, native, repeats)
        engines = {
            streams: {precision: Engine.load(bundle, precision=precision, streams=streams) for precision in native}
            for streams in STREAMS.values()
        }
    usual, many = nets.usual(model), engines["throughput"]
    floors = {p: _floor(p, many[p], nets.tensors(images, 8), threads, repeats) for p in native}
    for batch, streams in STREAMS.items():
        sides = {precision: nets.ours(engine) for precision, engine in engines[streams].items()}
        tensor = nets.tensors(images, batch)
        alike = _alike(sides, usual, tensor)
        every: dict[str, nets.Side] = {**{str(name): side for name, side in sides.items()}, "usual": usual}
        seconds = interleaved({name: partial(side, tensor) for name, side in every.items()}, repeats)
        found += [_ratio(p, batch, seconds, alike[p], floors[p]) for p in native]
    return found + list(floors.values())


def _alike(sides: Mapping[Precision, nets.Side], usual: nets.Side, tensor: Tensor) -> dict[Precision, float]:
    """Median rank correlation with pytorch-grad-cam's heatmaps; raises InferenceError where fp32 is not equal."""
    wanted = usual(tensor)
    found = {precision: side(tensor) for precision, side in sides.items()}
    worst = float(np.abs(found["fp32"] - wanted).max())
    if not worst <= 1e-3:
        raise InferenceError(f"heatmaps of {len(tensor)}: differ by {worst:.2g} from pytorch-grad-cam's")
    return {
        precision: float(np.median([spearman(a, b) for a, b in zip(maps, wanted, strict=True)]))
        for precision, maps in found.items()
    }


def _ratio(precision: Precision, batch: int, seconds: Mapping[str, float], alike: float, floor: Row) -> Row:
    """``at_peak`` is what the ratio were if every operation ran at the machine's peak: more is not to be had here."""
    ours, usual = seconds[precision], seconds["usual"]
    detail = {
        "ours_ms": 1000 * ours / batch,
        "usual_ms": 1000 * usual / batch,
        "at_peak": usual / batch * float(floor.detail["peak_gflops"]) / GFLOP,
        "spearman": alike,
        "threads": float(processor.cores()),
    }
    return Row(f"inference.{precision}.batch{batch}", usual / ours, "x", TARGETS[precision], detail=detail)


def _floor(precision: Precision, engine: Engine, tensor: Tensor, threads: int, repeats: int) -> Row:
    """The share of the machine's own peak: the network and the matrix products in turn."""
    products = peak.products(precision, threads)
    seconds = interleaved({"network": partial(engine.run, tensor), **products}, repeats)
    best = min(products, key=lambda name: seconds[name])
    achieved, most = GFLOP * len(tensor) / seconds["network"], peak.GFLOP / seconds[best]
    detail: dict[str, float | str] = {"achieved_gflops": achieved, "peak_gflops": most, "peak_by": best}
    detail |= {f"{name} gflops": peak.GFLOP / seconds[name] for name in products if name != best}
    target = FLOOR if precision == "fp32" else None
    return Row(f"inference.floor.{precision}", achieved / most, "share", target, detail=detail)
