"""Prepared photographs as batches: memory-mapped uint8 shards, augmented one by one, normalised as everywhere else."""

# ruff: noqa: ARG002 — Lightning's hooks have fixed signatures

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from clarity.errors import ManifestError
from clarity.grades import GRADES
from clarity.imaging.tensor import MEAN, STD
from clarity.params import TrainParams
from clarity.training.paths import Paths

SPLITS = ("train", "validation", "test")
Batch = tuple[Tensor, Tensor, Tensor]
"""Photographs (N, 3, S, S), grades (N,) int64, rows of the table (N,) int64."""


@dataclass(frozen=True)
class PreparedSet:
    """The prepared photographs of a workspace: a row each in ``table``, pixels mapped from disk when asked for.

    ``table`` has sha256, patient, source, eye, grade, split, shard, row, fingerprint, score, gradable, reasons.
    """

    paths: Paths
    table: pd.DataFrame

    @classmethod
    def open(cls, paths: Paths) -> "PreparedSet":
        """Join index.csv and split.csv. Raises ManifestError: one is missing, or they do not speak of the same set."""
        index, split = _read(paths.prepared / "index.csv"), _read(paths.split)
        needed = ("sha256", "shard", "row", "fingerprint", "score", "gradable", "reasons")
        _columns(paths.prepared / "index.csv", index, needed)
        _columns(paths.split, split, ("sha256", "patient", "source", "eye", "grade", "split"))
        table = split.merge(index, on="sha256", how="inner", validate="one_to_one", suffixes=("", "_index"))
        if len(table) < len(split):
            raise ManifestError(f"{paths.split}: {len(split) - len(table)} photographs are not prepared, run prepare")
        table = table.astype({"grade": "int64", "row": "int64", "gradable": "bool", "shard": "str"})
        if not table["grade"].isin(GRADES).all():
            raise ManifestError(f"{paths.split}: grades {sorted(set(table['grade']) - set(GRADES))}, not of 0 to 4")
        return cls(paths, table.reset_index(drop=True))

    def image(self, position: int) -> NDArray[np.uint8]:
        """(S, S, 3) uint8 RGB of the table's row."""
        shard, row = self._where[position]
        pixels: NDArray[np.uint8] = self._shard(shard)[row]
        return pixels

    def images(self, positions: Sequence[int]) -> NDArray[np.uint8]:
        """(N, S, S, 3) uint8 RGB."""
        return np.stack([self.image(position) for position in positions])

    def rows(self, split: str, *, gradable: bool = True) -> list[int]:
        """Positions of a split; ungradable photographs only where they are asked for."""
        mask = self.table["split"] == split
        return [int(i) for i in np.flatnonzero(mask & self.table["gradable"] if gradable else mask)]

    def counts(self, rows: list[int]) -> list[int]:
        """How many photographs of each grade, five numbers."""
        counted = np.bincount(self.table["grade"].to_numpy()[rows], minlength=len(GRADES))
        return [int(number) for number in counted]

    @cached_property
    def _where(self) -> list[tuple[str, int]]:
        return list(zip(self.table["shard"].tolist(), self.table["row"].tolist(), strict=True))

    @cached_property
    def _maps(self) -> dict[str, NDArray[np.uint8]]:
        return {}

    def _shard(self, name: str) -> NDArray[np.uint8]:
        if name not in self._maps:
            path = self.paths.prepared / (name if name.endswith(".npy") else f"{name}.npy")
            try:
                self._maps[name] = np.load(path, mmap_mode="r")
            except (OSError, ValueError, EOFError) as error:
                raise ManifestError(f"{path}: {error}, run prepare again") from None
        return self._maps[name]


class Photographs(Dataset[tuple[Tensor, int, int]]):
    """Items (3, S, S) uint8, grade, row."""

    def __init__(self, prepared: PreparedSet, rows: list[int], transform: v2.Transform | None = None) -> None:
        self.prepared, self.rows, self.transform = prepared, rows, transform
        self.grades: list[int] = prepared.table["grade"].tolist()

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, item: int) -> tuple[Tensor, int, int]:
        row = self.rows[item]
        image = torch.from_numpy(np.array(self.prepared.image(row))).permute(2, 0, 1)
        return (self.transform(image) if self.transform else image), self.grades[row], row


def augmentation(params: TrainParams) -> v2.Transform | None:
    """Flips, rotations, small changes of size, brightness and contrast, a photograph at a time, on (3, S, S) uint8.

    A fundus has no up or down that a grade depends on, and outside the field of view it is black: so is the fill.
    """
    steps: list[v2.Transform] = []
    if params.flip:
        steps += [v2.RandomHorizontalFlip(), v2.RandomVerticalFlip()]
    if params.rotate_degrees or params.scale:
        scale = (1 - params.scale, 1 + params.scale) if params.scale else None
        bilinear = v2.InterpolationMode.BILINEAR
        steps.append(v2.RandomAffine(params.rotate_degrees, scale=scale, interpolation=bilinear))
    if params.brightness or params.contrast:
        steps.append(v2.ColorJitter(brightness=params.brightness, contrast=params.contrast))
    return v2.Compose(steps) if steps else None


def normalise(images: Tensor, *, channels_last: bool = False) -> Tensor:
    """(N, 3, S, S) uint8 → float32 with ImageNet's mean and deviation: ``clarity.imaging.to_tensor``, on any device."""
    form = torch.channels_last if channels_last else torch.contiguous_format
    mean = torch.from_numpy(MEAN).to(images.device).view(1, 3, 1, 1)
    deviation = torch.from_numpy(STD).to(images.device).view(1, 3, 1, 1)
    return ((images.to(torch.float32) / 255 - mean) / deviation).contiguous(memory_format=form)


class FundusData(pl.LightningDataModule):
    """Train and validation batches. Ungradable photographs are left out of both."""

    def __init__(self, prepared: PreparedSet, params: TrainParams) -> None:
        super().__init__()
        self.prepared, self.params = prepared, params
        self.train_rows, self.validation_rows = prepared.rows("train"), prepared.rows("validation")
        needed = {"train": (self.train_rows, params.batch_size), "validation": (self.validation_rows, 1)}
        for name, (rows, least) in needed.items():
            if len(rows) < least:
                raise ManifestError(f"{prepared.paths.split}: {len(rows)} gradable photographs in {name}, need {least}")

    def train_dataloader(self) -> DataLoader[tuple[Tensor, int, int]]:
        return self._loader(self.train_rows, augmentation(self.params), shuffle=True)

    def val_dataloader(self) -> DataLoader[tuple[Tensor, int, int]]:
        return self._loader(self.validation_rows, None, shuffle=False)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        images, grades, rows = batch
        return normalise(images, channels_last=self.params.channels_last), grades, rows

    def _loader(self, rows: list[int], transform: v2.Transform | None, *, shuffle: bool) -> DataLoader[Any]:
        return DataLoader(
            cast("Dataset[Any]", Photographs(self.prepared, rows, transform)),
            batch_size=self.params.batch_size,
            shuffle=shuffle,
            drop_last=shuffle,  # a last batch of one photograph has no variance to normalise with
            num_workers=self.params.workers,
            persistent_workers=self.params.workers > 0,
            pin_memory=torch.cuda.is_available(),
        )


def _read(path: Any) -> pd.DataFrame:
    try:
        return pd.read_csv(path, dtype={"sha256": str, "patient": str, "shard": str}, keep_default_na=False)
    except OSError as error:
        raise ManifestError(f"{path}: {error.strerror}, run the stage that writes it") from None


def _columns(path: Any, frame: pd.DataFrame, wanted: tuple[str, ...]) -> None:
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        raise ManifestError(f"{path}: columns {', '.join(missing)} missing")
