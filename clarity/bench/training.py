"""What reading, augmenting and normalising photographs adds to a training step."""

import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from clarity.bench.conf import pipeline
from clarity.bench.rows import Row
from clarity.grades import GRADES
from clarity.inference.processor import cores
from clarity.params import Params
from clarity.training import backbones, fit
from clarity.training.datamodule import FundusData, PreparedSet
from clarity.training.module import Grading
from clarity.training.paths import Paths

_BATCHES, _BATCH, _SIDE = 2, 16, 224
_TARGET = 0.05


def rows(repeats: int) -> list[Row]:
    """``training.data_path``: the share of a step's time that the DataModule costs, ResNet-50, 224 px, batch 16.

    Batches from the DataModule and normalised tensors that are in memory already take turns, step by step: forward,
    backward and the optimiser, in the precision that ``train.precision: auto`` takes here. A batch is read by the
    process that steps, before the step: what it costs is the time until it is there. Steps are the same on both sides,
    and vary by more than that time on a shared machine, so their median is of both; each side's is in the detail.
    """
    torch.set_num_threads(cores())
    params = _params()
    with tempfile.TemporaryDirectory(prefix="clarity-bench-") as folder:
        data = FundusData(_prepared(Path(folder)), params.train)
        steps = _Steps(params)
        ready = [_transferred(data, batch) for batch in data.train_dataloader()]
        _turns(data, steps, ready)
        turns = [turn for _ in range(repeats) for turn in _turns(data, steps, ready)]
    reading, after, memory = zip(*turns, strict=True)
    waits, step = median(reading), median(after + memory)
    detail = {
        "images_a_second": _BATCH / (waits + step),
        "from_memory": _BATCH / step,
        "reading_ms": waits * 1e3,
        "step_ms": median(after) * 1e3,
        "step_from_memory_ms": median(memory) * 1e3,
    }
    share = waits / (waits + step)
    return [Row("training.data_path", share, "share", _TARGET, more_is_better=False, detail=detail)]


def _turns(data: FundusData, steps: "_Steps", ready: list[tuple[Tensor, Tensor]]) -> list[tuple[float, float, float]]:
    """Each batch of an epoch: seconds until it is there, of a step on it, of a step on one that was in memory."""
    turns, batches = [], iter(data.train_dataloader())
    for in_memory in ready:
        start = time.perf_counter()
        read = _transferred(data, next(batches))
        there = time.perf_counter()
        steps.one(*read)
        stepped = time.perf_counter()
        steps.one(*in_memory)
        turns.append((there - start, stepped - there, time.perf_counter() - stepped))
    return turns


def _params() -> Params:
    params = pipeline()
    train = params.train.model_copy(update={"batch_size": _BATCH, "workers": 0})
    return params.model_copy(update={"train": train})


def _prepared(root: Path) -> PreparedSet:
    """Random pixels, a photograph a grade in turn: what they show costs nothing more or less."""
    paths = Paths(root)
    paths.prepared.mkdir(parents=True)
    number = _BATCHES * _BATCH + 1
    pixels = np.random.default_rng(0).integers(0, 256, (number, _SIDE, _SIDE, 3), dtype=np.uint8)
    np.save(paths.prepared / "00.npy", pixels)
    names = [f"{i:064x}" for i in range(number)]
    index = {"sha256": names, "shard": "00", "row": range(number), "fingerprint": "bench"}
    quality = {"score": 1.0, "gradable": True, "reasons": ""}
    pd.DataFrame(index | quality).to_csv(paths.prepared / "index.csv", index=False)
    split = {"sha256": names, "patient": names, "source": "bench", "eye": "left"}
    grades = [i % len(GRADES) for i in range(number)]
    sides = ["validation"] + ["train"] * (number - 1)
    pd.DataFrame(split | {"grade": grades, "split": sides}).to_csv(paths.split, index=False)
    return PreparedSet.open(paths)


def _transferred(data: FundusData, batch: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    images, grades, _ = data.on_after_batch_transfer(batch, 0)
    return images, grades


class _Steps:
    """Optimiser steps of the real module."""

    def __init__(self, params: Params) -> None:
        model = params.model.model_copy(update={"weights": "none"})
        self.module = Grading(backbones.build(model), params.train, params.evaluate)
        self.module.to(memory_format=torch.channels_last)
        self.optimiser = torch.optim.AdamW(self.module.parameters(), lr=1e-4, fused=True)
        self.bf16 = fit.precision(params.train) == "bf16-mixed"

    def one(self, images: Tensor, grades: Tensor) -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bf16):
            logits = self.module(images)
        loss = self.module.loss(logits, grades)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
