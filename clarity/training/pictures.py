"""Which pictures an evaluation shows: curves, confusion, reliability, ROC, and the worst errors with their heatmaps."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from clarity.imaging import to_tensor
from clarity.inference import decision, heatmap
from clarity.inference.engine import Engine
from clarity.params import EvaluateParams
from clarity.records import Image
from clarity.registry.agreement import probabilities
from clarity.training import calibration, metrics, plots
from clarity.training.datamodule import PreparedSet
from clarity.training.metrics import Operating
from clarity.training.paths import Paths
from clarity.training.scoring import Scored

_DARK = 12
"""Luminance below which a prepared pixel lies outside the field of view."""


def draw(
    params: EvaluateParams,
    paths: Paths,
    prepared: PreparedSet,
    engine: Engine,
    scored: Mapping[str, Scored],
    frame: pd.DataFrame,
    operating: Operating,
    temperature: float,
) -> None:
    """Write the PNGs into artifacts/evaluation/. ``frame`` has validation and test rows, ``scored`` their logits."""
    folder, label = paths.evaluation, f"test split, {int((frame['split'] == 'test').sum())} photographs"
    test = frame[frame["split"] == "test"].reset_index(drop=True)
    truth, probability = test["grade"].to_numpy(), probabilities(test)
    plots.curves(paths.training / "history.csv", folder / "curves.png")
    plots.confusion(metrics.confusion(truth, test["predicted"].to_numpy()), folder / "confusion.png", label)
    raw = decision.probabilities(scored["test"].logits, 1.0)
    before = calibration.reliability(raw, truth, params.calibration_bins)
    after = calibration.reliability(probability, truth, params.calibration_bins)
    plots.reliability(before, after, folder / "reliability.png", f"Reliability, temperature {temperature:.2f}")
    outcomes = {}
    for outcome, first in metrics.OUTCOMES.items():
        called = decision.positive(probability, getattr(operating, outcome), test["predicted"].to_numpy(), first)
        outcomes[outcome.replace("_", "-")] = probability[:, first:].sum(axis=1), np.asarray(truth >= first), called
    plots.roc(outcomes, folder / "roc.png")
    plots.sheet(worst(prepared, engine, scored["test"].rows, test, params.error_examples), folder / "errors.png")


def worst(
    prepared: PreparedSet, engine: Engine, rows: list[int], test: pd.DataFrame, count: int
) -> list[tuple[Image, Image, str]]:
    """The ``count`` wrong grades furthest from the reference: photograph, heatmap of the predicted grade, caption."""
    miss = (test["predicted"] - test["grade"]).abs()
    order = [i for i in miss.sort_values(ascending=False, kind="stable").index if miss[i] > 0][:count]
    if not order:
        return []
    images = prepared.images([rows[i] for i in order])
    maps = engine.run(to_tensor(images)).maps
    shown = []
    for image, found, i in zip(images, maps, order, strict=True):
        guess = int(test["predicted"][i])
        cam = heatmap.upsample(heatmap.heatmap(found, guess), *image.shape[1::-1])
        inside = (image.max(axis=2) > _DARK).astype(np.float32)
        caption = f"{test['sha256'][i][:8]}  reference {test['grade'][i]}, predicted {guess}"
        shown.append((image, heatmap.overlay(image, cam * inside), caption))
    return shown
