"""Pictures of a training and its evaluation, each a PNG on disk. Drawn on figures of their own: no global state."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from clarity.records import Image
from clarity.training.calibration import Bin

INK, ACCENT, SOFT = "#1f2933", "#0b7285", "#adb5bd"
_DPI = 110
_SHORT = ("0 none", "1 mild", "2 moderate", "3 severe", "4 proliferative")


def curves(history: Path, target: Path) -> None:
    """Loss and validation kappa by epoch, from history.csv."""
    with history.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    epochs = [int(row["epoch"]) + 1 for row in rows]
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    for name, colour in (("train/loss", SOFT), ("val/loss", ACCENT)):
        left.plot(epochs, [float(row[name] or "nan") for row in rows], color=colour, label=name, marker=".")
    left.legend(frameon=False)
    right.plot(epochs, [float(row["val/qwk"]) for row in rows], color=ACCENT, marker=".")
    right.set_ylim(min(0.0, min(float(row["val/qwk"]) for row in rows)), 1)
    _label(left, "Loss", "epoch", "")
    _label(right, "Quadratic weighted kappa, validation", "epoch", "")
    _save(figure, target)


def confusion(table: NDArray[np.int64], target: Path, title: str) -> None:
    """(5, 5) counts, coloured by the share of the row, so that a rare grade is as readable as a common one."""
    figure = Figure(figsize=(5.2, 4.6), layout="constrained")
    axes = figure.subplots()
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="GnBu", vmin=0, vmax=1)
    for i, j in np.ndindex(*table.shape):
        colour = "white" if share[i, j] > 0.6 else INK
        axes.text(j, i, str(table[i, j]), ha="center", va="center", color=colour)
    axes.set_xticks(range(len(_SHORT)), _SHORT, rotation=30, ha="right")
    axes.set_yticks(range(len(_SHORT)), _SHORT)
    _label(axes, title, "predicted", "reference")
    axes.spines[:].set_visible(False)
    _save(figure, target)


def reliability(before: list[Bin], after: list[Bin], target: Path, title: str) -> None:
    """Confidence against accuracy; a point's size is its count. The diagonal is a perfect forecaster."""
    figure = Figure(figsize=(4.8, 4.4), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=SOFT, linestyle="--", linewidth=1)
    total = max(sum(b.n for b in after), 1)
    for bins, colour, label in ((before, SOFT, "as trained"), (after, ACCENT, "calibrated")):
        x, y = [b.confidence for b in bins], [b.accuracy for b in bins]
        axes.plot(x, y, color=colour, label=label, linewidth=1.2)
        axes.scatter(x, y, s=[20 + 400 * b.n / total for b in bins], color=colour, alpha=0.6)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.legend(frameon=False, loc="upper left")
    _label(axes, title, "confidence in the likeliest grade", "share that is right")
    _save(figure, target)


def roc(
    curves_by_name: dict[str, tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]], target: Path
) -> None:
    """Receiver operating characteristics: name → scores, reference, who is called at the operating point (the dot)."""
    figure = Figure(figsize=(4.8, 4.4), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=SOFT, linestyle="--", linewidth=1)
    for (name, (scores, positive, called)), colour in zip(curves_by_name.items(), (ACCENT, "#c2410c"), strict=False):
        if not 0 < positive.sum() < len(positive):
            continue
        cuts = np.concatenate([[np.inf], np.unique(scores)[::-1]])
        tpr = [float((scores[positive] >= cut).mean()) for cut in cuts]
        fpr = [float((scores[~positive] >= cut).mean()) for cut in cuts]
        axes.plot(fpr, tpr, color=colour, label=name)
        axes.scatter(called[~positive].mean(), called[positive].mean(), color=colour, zorder=3)
    axes.legend(frameon=False, loc="lower right")
    _label(axes, "ROC; the dot is the operating point", "1 - specificity", "sensitivity")
    _save(figure, target)


def sheet(pictures: Sequence[tuple[Image, Image, str]], target: Path, columns: int = 4) -> None:
    """Photograph beside its heatmap with a caption, a cell each."""
    columns = max(1, min(columns, len(pictures)))
    rows = max(1, -(-len(pictures) // columns))
    figure = Figure(figsize=(3.6 * columns, 2.15 * rows + 0.1), layout="constrained")
    all_axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in all_axes:
        axes.set_axis_off()
    for axes, (image, overlay, caption) in zip(all_axes, pictures, strict=False):
        axes.imshow(np.concatenate([image, overlay], axis=1))
        axes.set_title(caption, fontsize=8, color=INK)
    if not pictures:
        all_axes[0].text(0.5, 0.5, "no wrong grade on the test split", ha="center", color=INK)
    _save(figure, target)


def _label(axes: Any, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=10, color=INK, loc="left")
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
    axes.spines[["top", "right"]].set_visible(False)


def _save(figure: Figure, target: Path) -> None:
    figure.savefig(target, dpi=_DPI, metadata={"Software": None})
