"""What the bench of the data path trains on, and how it tells reading from stepping."""

import time
from pathlib import Path

import torch
from torch import Tensor

from clarity.bench import training
from clarity.training.datamodule import FundusData


def test_its_photographs_are_a_prepared_set_as_training_reads_it(tmp_path: Path) -> None:
    data = training._prepared(tmp_path)
    assert len(data.rows("train")) == training._BATCHES * training._BATCH
    assert len(data.rows("validation")) == 1


def test_reading_and_stepping_are_told_apart_batch_by_batch(tmp_path: Path) -> None:
    class Steps:
        def one(self, images: Tensor, _grades: Tensor) -> None:
            time.sleep(0.05 if images.abs().sum() else 0.15)

    data = FundusData(training._prepared(tmp_path), training._params().train)
    in_memory = (torch.zeros(1), torch.zeros(1))
    turns = training._turns(data, Steps(), [in_memory] * training._BATCHES)  # type: ignore[arg-type]
    assert len(turns) == training._BATCHES
    for reading, after, memory in turns:
        assert reading > 0
        assert after >= 0.05
        assert memory >= 0.15
