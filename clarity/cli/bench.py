"""``clarity bench``: what this machine gives, as ratios to the usual way of doing the same, both measured in one run.

Interleaved repeats and their medians; the two sides' results are held equal before they are timed.
"""

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clarity.errors import InferenceError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Side = Callable[[NDArray[np.float32]], NDArray[np.float32]]
    """(N, 3, 224, 224) normalised photographs -> (N, 224, 224) heatmaps in 0..1."""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: how many times faster than the usual way, and the milliseconds an image behind it."""

    name: str
    value: float
    unit: str
    ours_ms: float
    usual_ms: float


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(bench)


def bench(
    repeats: Annotated[int, typer.Option(help="Timed repeats of each side, interleaved.")] = 7,
    output: Annotated[Path | None, typer.Option("--json", help="Write the rows to this file too.")] = None,
) -> None:
    """Time grade + heatmap against torchvision with pytorch-grad-cam, on this machine (needs the extra `dev`)."""
    from rich.console import Console
    from rich.table import Column, Table

    console = Console()
    with console.status("exporting a ResNet-50 and timing both sides"):
        sides = _sides()
        rows = [_inference(*sides, batch, repeats) for batch in (1, 8)]
    table = Table(Column("bench", no_wrap=True), "times faster", "Clarity, ms an image", "usual, ms an image")
    for row in rows:
        table.add_row(row.name, f"{row.value:.1f} x", f"{row.ours_ms:.1f}", f"{row.usual_ms:.1f}")
    console.print(table)
    if output:
        output.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")


def _inference(ours: "Side", usual: "Side", batch: int, repeats: int) -> Row:
    import numpy as np

    images = np.random.default_rng(batch).standard_normal((batch, 3, 224, 224), dtype=np.float32)
    mine, theirs = ours(images), usual(images)
    if not np.allclose(mine, theirs, atol=1e-3):
        raise InferenceError(
            f"heatmaps of {batch}: differ by {np.abs(mine - theirs).max():.2g} from pytorch-grad-cam's"
        )
    seconds: dict[str, list[float]] = {"ours": [], "usual": []}
    for _ in range(repeats):
        for name, side in (("ours", ours), ("usual", usual)):
            start = time.perf_counter()
            side(images)
            seconds[name].append(time.perf_counter() - start)
    ours_ms, usual_ms = (1000 * statistics.median(seconds[name]) / batch for name in ("ours", "usual"))
    return Row(f"inference.fp32.batch{batch}", usual_ms / ours_ms, "x", ours_ms, usual_ms)


def _sides() -> "tuple[Side, Side]":
    """The same ResNet-50 twice: through Clarity's graph and engine, and as usually written. Both give heatmaps."""
    import tempfile

    import cv2
    import numpy as np
    import openvino as ov
    import torch
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    from clarity.inference import export
    from clarity.inference.engine import cores
    from clarity.inference.heatmap import heatmap
    from clarity.params import ModelParams
    from clarity.training import backbones

    torch.manual_seed(0)
    torch.set_num_threads(cores())
    network = backbones.build(ModelParams(name="bench", backbone="resnet50", weights="none", dropout=0.0)).eval()
    options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": str(cores()), "INFERENCE_PRECISION_HINT": "f32"}
    with tempfile.TemporaryDirectory(prefix="clarity-bench-") as folder:
        export.export(network, 224, Path(folder))
        compiled = ov.Core().compile_model(Path(folder) / export.IR, "CPU", options)
    grade = 2

    def ours(images: "NDArray[np.float32]") -> "NDArray[np.float32]":
        maps = compiled([images])["maps"]
        grown = [cv2.resize(heatmap(one, grade), images.shape[2:]) for one in maps]
        lifted = [one - one.min() for one in grown]  # pytorch-grad-cam stretches again after resizing
        return np.stack([one / (1e-7 + one.max()) for one in lifted])

    def usual(images: "NDArray[np.float32]") -> "NDArray[np.float32]":
        with GradCAM(model=network, target_layers=[network.trunk]) as cam:
            targets = [ClassifierOutputTarget(grade)] * len(images)
            found: NDArray[np.float32] = cam(input_tensor=torch.from_numpy(images), targets=targets)
        return found

    return ours, usual
