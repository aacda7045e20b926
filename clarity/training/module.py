"""The LightningModule: a network, a loss, AdamW on one cycle, and kappa over the whole validation set."""

# ruff: noqa: ARG002 — Lightning's hooks have fixed signatures

from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR

from clarity.errors import TrainingDiverged
from clarity.grades import REFERABLE_FROM
from clarity.inference import decision
from clarity.inference.network import Network
from clarity.params import EvaluateParams, TrainParams
from clarity.registry import agreement
from clarity.training import losses, metrics
from clarity.training.datamodule import Batch


class Grading(pl.LightningModule):
    """Trains a ``Network`` on normalised (N, 3, S, S) batches. ``weight`` (5,) weighs the grades in the loss."""

    def __init__(
        self, network: Network, params: TrainParams, evaluate: EvaluateParams, weight: Tensor | None = None
    ) -> None:
        super().__init__()
        self.network, self.params, self.decision = network, params, evaluate.decision
        self.loss = losses.build(params, weight)
        self._seen: list[tuple[Tensor, Tensor, Tensor]] = []
        self._losses: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        return logits

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        images, grades, _ = batch
        loss = self.loss(self.network(images), grades)
        if not torch.isfinite(loss):
            said = f"epoch {self.current_epoch}, batch {batch_idx}: loss {loss.item()}, not a number"
            raise TrainingDiverged(said)
        self._losses.append(loss.detach())
        return loss

    def on_train_epoch_start(self) -> None:
        self._losses.clear()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        images, grades, rows = batch
        self._seen.append((self.network(images).float(), grades, rows))

    def on_validation_epoch_end(self) -> None:
        """Figures of the whole set: gathered over devices, each photograph once."""
        logits, grades, rows = (torch.cat([part[i] for part in self._seen]) for i in range(3))
        self._seen.clear()
        logits, grades, rows = (self._gathered(value) for value in (logits, grades, rows))
        once = np.unique(rows.cpu().numpy(), return_index=True)[1]
        values = validation_figures(logits.cpu()[once], grades.cpu()[once], self.decision)
        values["val/loss"] = float(self.loss(logits[once], grades[once]))
        self.log_dict(values, rank_zero_only=False, sync_dist=False)
        if self._losses:
            self.log("train/loss", torch.stack(self._losses).mean(), sync_dist=True)

    def configure_optimizers(self) -> Any:
        """Weight decay on weights only: norms and biases are one-dimensional (He et al. 2019, section 3.1)."""
        learning = [p for p in self.network.parameters() if p.requires_grad]
        decayed, plain = [p for p in learning if p.ndim > 1], [p for p in learning if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": self.params.weight_decay}, {"params": plain, "weight_decay": 0.0}]
        optimiser = AdamW(groups, lr=self.params.learning_rate, fused=True)
        steps = max(int(self.trainer.estimated_stepping_batches), 2)
        cycle = OneCycleLR(
            optimiser,
            max_lr=self.params.learning_rate,
            total_steps=steps,
            pct_start=min(max(self.params.warmup_share, 2 / steps), 1.0),  # a rise of one step divides by zero
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}

    def _gathered(self, value: Tensor) -> Tensor:
        everywhere: Tensor = self.all_gather(value)  # type: ignore[assignment]
        return everywhere if self.trainer.world_size == 1 else everywhere.flatten(0, 1)


def validation_figures(logits: Tensor, grades: Tensor, rule: decision.Decision) -> dict[str, float]:
    """``val/qwk``, ``val/accuracy`` and ``val/auroc_referable`` of (N, 5) logits; an undefined area is 0.5."""
    truth = grades.numpy()
    probability = decision.probabilities(logits.numpy(), 1.0)
    guess = decision.grade(probability, rule)
    area = agreement.auroc(truth >= REFERABLE_FROM, probability[:, REFERABLE_FROM:].sum(axis=1))
    return {
        "val/qwk": metrics.qwk(truth, guess),
        "val/accuracy": float((guess == truth).mean()),
        "val/auroc_referable": 0.5 if np.isnan(area) else area,
    }
