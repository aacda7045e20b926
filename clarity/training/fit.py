"""Training as a story: seed, data, network, callbacks, trainer, fit, and what came of it."""

import hashlib
import json
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint

from clarity import grades
from clarity.errors import ParameterError
from clarity.inference.network import Network
from clarity.inference.processor import cores
from clarity.inference.quiet import quiet
from clarity.params import Params, TrainParams
from clarity.training import backbones, losses
from clarity.training.callbacks import Bar, History
from clarity.training.datamodule import FundusData, PreparedSet
from clarity.training.module import Grading
from clarity.training.paths import Paths
from clarity.training.tracking import Tracking

log = logging.getLogger(__name__)
BEST = "best"
LAST = "last"
_LIGHTNING = ("pytorch_lightning", "lightning", "lightning_fabric")
NAGS = (
    ".*does not have many workers.*",
    ".*exists and is not empty.*",
    ".*smaller than the logging interval.*",
    ".*LeafSpec.*is deprecated.*",
    ".*in eval mode at the start of training.*",
)


@dataclass(frozen=True, slots=True)
class FitResult:
    """What a training came to."""

    run_id: str
    checkpoint: Path
    """Of the epoch with the best val/qwk: the network's tensors."""
    best_qwk: float
    best_epoch: int
    epochs: int
    resumed_from: int | None
    """The epoch that an interrupted training went on with; None where it started anew."""


def fit(
    params: Params, paths: Paths, tracking: Tracking, *, key: str = "", fetch: backbones.Fetch | None = None
) -> FitResult:
    """Train on the workspace's prepared photographs; write artifacts/training/ and return what came of it.

    ``key`` names everything the result depends on (see ``resume_key``): a training of the same key that was killed
    goes on from its last epoch. Its checkpoints stay until ``forget``, so that nothing is lost while the caller still
    stores the outcome; without a key there is nothing to go on with. Raises WeightsUnavailable, ManifestError,
    TrainingDiverged.
    """
    pl.seed_everything(params.train.seed, workers=True, verbose=False)
    torch.set_num_threads(cores())
    prepared = PreparedSet.open(paths)
    data = FundusData(prepared, params.train)
    _announce(prepared, data)
    network = _network(params, fetch)
    power = params.train.class_weights
    weight = losses.class_weights(prepared.counts(data.train_rows), power) if power else None
    module = Grading(network, params.train, params.evaluate, weight)
    if params.train.channels_last:
        module = module.to(memory_format=torch.channels_last)
    folder = paths.resume / (key or "unnamed")
    if not key:
        forget(paths)
    history = History(tracking)
    resumed = _epoch_of(folder)
    # Lightning speaks of choices that are made on purpose here.
    with quiet(_LIGHTNING, NAGS, printed=False):
        trainer = _trainer(params.train, folder, history)
        checkpoint = None if resumed is None else str(folder / f"{LAST}.ckpt")
        trainer.fit(module, data, ckpt_path=checkpoint, weights_only=False)
    result = _finish(history, paths, folder, tracking.run_id, resumed)
    tracking.metrics({"best/val_qwk": result.best_qwk, "best/epoch": result.best_epoch}, step=result.best_epoch)
    if not key:
        forget(paths)
    log.info("best val/qwk %.3f at epoch %d of %d", result.best_qwk, result.best_epoch + 1, result.epochs)
    return result


def forget(paths: Paths) -> None:
    """Delete the checkpoints of trainings to go on with: this one's outcome is stored, and other keys' are stale."""
    shutil.rmtree(paths.resume, ignore_errors=True)


def load(params: Params, checkpoint: Path) -> Network:
    """The network of a checkpoint, in evaluation mode, float32 on the CPU."""
    own = params.model.model_copy(update={"weights": str(checkpoint)})
    return backbones.build(own).eval()


def resume_key(*, data: str, code: str, params: Params) -> str:
    """16 hex digits of everything that a training's result depends on, so that a stale checkpoint is never resumed."""
    sections = params.model_dump(include={"imaging", "quality", "split", "model", "train"})
    sections["decision"] = params.evaluate.decision
    text = json.dumps([data, code, torch.__version__, sections], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def precision(params: TrainParams) -> Any:
    """``auto``: bfloat16 where the processor computes in it, else float32."""
    if params.precision != "auto":
        return params.precision
    if torch.cuda.is_available() and params.accelerator in ("auto", "gpu", "cuda"):
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    return "bf16-mixed" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "32-true"


def _network(params: Params, fetch: backbones.Fetch | None) -> Network:
    frozen = params.train.frozen_stages
    if frozen and params.model.weights == "none":
        raise ParameterError(
            f"train.frozen_stages: {frozen} with model.weights none, noise would stay noise; make it 0"
        )
    network = backbones.build(params.model, fetch=fetch)
    network.freeze(frozen)
    return network


def _trainer(params: TrainParams, folder: Path, history: History) -> pl.Trainer:
    qwk: dict[str, Any] = {"monitor": "val/qwk", "mode": "max"}
    best = ModelCheckpoint(folder, BEST, **qwk, save_weights_only=True, enable_version_counter=False)
    last = ModelCheckpoint(folder, LAST, enable_version_counter=False, save_on_train_epoch_end=True)
    stop = EarlyStopping(**qwk, patience=params.patience)
    return pl.Trainer(
        accelerator=params.accelerator,
        devices=params.devices,
        strategy=params.strategy,
        precision=precision(params),
        max_epochs=params.epochs,
        callbacks=[history, Bar(), stop, best, last],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=True,
    )


def _announce(prepared: PreparedSet, data: FundusData) -> None:
    """The exact counts of what is trained on, before the first step."""
    for name, rows in (("train", data.train_rows), ("validation", data.validation_rows)):
        counted = ", ".join(f"{grades.name(k)} {n}" for k, n in enumerate(prepared.counts(rows)))
        left_out = len(prepared.rows(name, gradable=False)) - len(rows)
        patients = prepared.table["patient"].iloc[rows].nunique()
        text = "%s: %d photographs of %d patients (%s); %d ungradable left out"
        log.info(text, name, len(rows), patients, counted, left_out)


def _finish(history: History, paths: Paths, folder: Path, run_id: str, resumed: int | None) -> FitResult:
    paths.training.mkdir(parents=True, exist_ok=True)
    history.write(paths.training / "history.csv")
    checkpoint = paths.training / f"{BEST}.ckpt"
    shutil.copyfile(folder / f"{BEST}.ckpt", checkpoint)
    best = max(history.rows, key=lambda row: row["val/qwk"])
    return FitResult(run_id, checkpoint, best["val/qwk"], int(best["epoch"]), len(history.rows), resumed)


def _epoch_of(folder: Path) -> int | None:
    """The epoch that goes on from the checkpoints in here; None where there is none or one cannot be read.

    The best one is needed too: where no later epoch is better, a training that goes on has no other to end with.
    """
    if not (folder / f"{LAST}.ckpt").is_file():
        return None
    epoch = 0
    for name in (BEST, LAST):
        try:
            found = torch.load(folder / f"{name}.ckpt", map_location="cpu", mmap=True, weights_only=False)
            epoch = int(found["epoch"]) + 1
        except Exception as error:  # noqa: BLE001 — torch.load raises whatever the bytes provoke
            why = "missing" if isinstance(error, FileNotFoundError) else type(error).__name__
            log.warning("%s.ckpt: %s, nothing can be resumed, training starts anew", name, why)
            return None
    log.info("going on with epoch %d from the checkpoint of an interrupted training", epoch + 1)
    return epoch
