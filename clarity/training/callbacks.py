"""What happens beside the gradient: the history of epochs, the record, the progress that a person sees."""

# ruff: noqa: ARG002 — Lightning's hooks have fixed signatures

import csv
import logging
import sys
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from clarity.training.tracking import Tracking

log = logging.getLogger(__name__)
COLUMNS = ("epoch", "train/loss", "val/loss", "val/qwk", "val/accuracy", "val/auroc_referable", "seconds")
_PLAIN_EVERY_S = 30.0


class History(pl.Callback):
    """A row an epoch, kept in every checkpoint, so that a resumed training's history is whole; told to the record."""

    def __init__(self, tracking: Tracking) -> None:
        self.tracking, self.rows, self._start = tracking, list[dict[str, float]](), 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start = time.monotonic()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        values = {key: float(value) for key, value in trainer.callback_metrics.items() if key in COLUMNS}
        row = {"epoch": trainer.current_epoch, **values, "seconds": round(time.monotonic() - self._start, 2)}
        self.rows = [*(r for r in self.rows if r["epoch"] < row["epoch"]), row]
        if trainer.is_global_zero:
            rate = trainer.optimizers[0].param_groups[0]["lr"]
            self.tracking.metrics({**values, "train/learning_rate": rate}, step=trainer.current_epoch)
            log.info("epoch %d of %d: %s", trainer.current_epoch + 1, trainer.max_epochs or 0, _sentence(row))

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = list(state_dict["rows"])

    def write(self, path: Path) -> None:
        """The history as CSV, a row an epoch."""
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, restval="")
            writer.writeheader()
            writer.writerows(self.rows)


class Bar(pl.Callback):
    """A bar on a terminal, otherwise a plain line now and then; on standard error either way."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bar: Progress | None = None
        self._task: Any = None
        self._said = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._said = time.monotonic()
        total = int(trainer.num_training_batches)
        text = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
        if not (trainer.is_global_zero and sys.stderr.isatty()):
            return
        if self._bar is None:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            self._bar = Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=self._console)
            self._bar.start()
            self._task = self._bar.add_task(text, total=total)
        self._bar.reset(self._task, total=total, description=text)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._bar is not None:
            self._bar.advance(self._task)
        elif trainer.is_global_zero and time.monotonic() - self._said > _PLAIN_EVERY_S:
            self._said = time.monotonic()
            epoch, total = trainer.current_epoch + 1, int(trainer.num_training_batches)
            log.info("epoch %d of %d: batch %d of %d", epoch, trainer.max_epochs or 0, batch_idx + 1, total)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _sentence(row: dict[str, float]) -> str:
    names = ("train/loss", "val/loss", "val/qwk", "val/accuracy")
    return ", ".join(f"{name} {row[name]:.3f}" for name in names if name in row) + f" ({row['seconds']:.0f} s)"
