"""Predictions of a bundle on prepared photographs, through the engine that will run it: tables, not tensors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clarity.errors import ManifestError
from clarity.imaging import fingerprint, prepare, to_tensor
from clarity.inference import abstention, decision
from clarity.inference.bundle import Bundle
from clarity.inference.engine import Engine
from clarity.inference.spec import Spec
from clarity.params import ImagingParams, QualityParams
from clarity.registry.agreement import PROBABILITIES
from clarity.training import selective
from clarity.training.datamodule import PreparedSet
from clarity.training.metrics import Operating
from clarity.training.paths import Paths

COLUMNS = (
    "sha256", "patient", "source", "eye", "grade", *PROBABILITIES, "predicted",
    "energy", *selective.REASONS, "split",
)  # fmt: skip
_BATCH = 32
Pixels = Callable[[Sequence[int]], NDArray[np.uint8]]
"""Rows of the table → (N, S, S, 3) uint8."""


@dataclass(frozen=True, slots=True)
class Scored:
    """What a network says of rows of a prepared set, before calibration."""

    rows: list[int]
    logits: NDArray[np.float32]
    """(N, 5)."""


def run(engine: Engine, rows: list[int], pixels: Pixels) -> Scored:
    """Logits of the rows, in order. Raises InferenceError."""
    parts = [engine.run(to_tensor(pixels(rows[i : i + _BATCH]))).logits for i in range(0, len(rows), _BATCH)]
    return Scored(rows, np.concatenate(parts) if parts else np.zeros((0, len(PROBABILITIES)), np.float32))


def table(prepared: PreparedSet, scored: Scored, temperature: float, operating: Operating) -> pd.DataFrame:
    """A row a photograph with COLUMNS: calibrated probabilities, the grade that they give, why a person decides."""
    probability = decision.probabilities(scored.logits, temperature)
    frame = prepared.table.iloc[scored.rows][["sha256", "patient", "source", "eye", "grade", "split"]]
    frame = frame.reset_index(drop=True)
    frame[list(PROBABILITIES)] = probability
    frame["predicted"] = decision.grade(probability, operating.decision)
    frame["energy"] = energies = abstention.energy(scored.logits, temperature)
    frame["near_threshold"] = abstention.near_threshold(probability, operating.referable, operating.abstention)
    frame["unfamiliar"] = abstention.unfamiliar(energies, operating.abstention)
    return frame[list(COLUMNS)]


def score_bundle(bundle: Bundle, paths: Paths, *, split: str = "test") -> pd.DataFrame:
    """Any bundle on the gradable photographs of the workspace's split, as a table like predictions.csv.

    The photographs are those that the workspace's own quality gate passed, whatever the bundle's gate says, so that
    two bundles are compared on the same ones. Where the bundle prepares photographs as the workspace does, the
    prepared ones are used; otherwise the originals are prepared for it. In fp32, so that the comparison is the same on
    every machine. Raises ManifestError, InferenceError.
    """
    prepared = PreparedSet.open(paths)
    rows = prepared.rows(split)
    same = _fingerprints(prepared) == {fingerprint(bundle.spec.imaging)}
    pixels: Pixels = prepared.images if same else _Originals(prepared, bundle.spec.imaging, bundle.spec.quality)
    scored = run(Engine.load(bundle, precision="fp32"), rows, pixels)
    return table(prepared, scored, bundle.spec.temperature, _operating(bundle.spec))


def _operating(spec: Spec) -> Operating:
    plain = Operating(spec.decision, spec.thresholds.referable, spec.thresholds.vision_threatening)
    return plain if spec.abstention is None else replace(plain, abstention=spec.abstention)


class _Originals:
    """Photographs of the data set, prepared the way that a bundle wants."""

    def __init__(self, prepared: PreparedSet, imaging: ImagingParams, quality: QualityParams) -> None:
        self.prepared, self.imaging, self.quality = prepared, imaging, quality
        self.files = _files(prepared.paths)

    def __call__(self, rows: Sequence[int]) -> NDArray[np.uint8]:
        hashes = [str(self.prepared.table["sha256"].iloc[row]) for row in rows]
        return np.stack([prepare(self._bytes(sha256), self.imaging, self.quality).image for sha256 in hashes])

    def _bytes(self, sha256: str) -> bytes:
        try:
            return self.files[sha256].read_bytes()
        except (KeyError, OSError):
            raise ManifestError(f"photograph {sha256[:12]}…: not in {self.prepared.paths.photographs}") from None


def _files(paths: Paths) -> dict[str, Path]:
    return {path.stem: path for path in paths.photographs.glob("*/*")}


def _fingerprints(prepared: PreparedSet) -> set[str]:
    gradable = prepared.table[prepared.table["gradable"]]
    return set(gradable["fingerprint"].astype(str))
