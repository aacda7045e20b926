"""What the test split says, with intervals: the whole set, and each source by itself."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from clarity.params import EvaluateParams
from clarity.records import Interval
from clarity.training import metrics, selective
from clarity.training.metrics import Figures, Operating
from clarity.training.selective import Selective


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the test split says. ``sources`` has the same figures for each source's photographs alone."""

    test: Figures
    validation: Figures
    sources: dict[str, Figures]
    imageability: dict[str, Interval]
    """Share of gradable photographs in the test split: "all" and by source; Wilson's interval."""
    selective: dict[str, Selective]
    """Of the test split, what it decides on itself: "all" and by source."""
    temperature: float
    operating: Operating
    counts: dict[str, dict[str, int]]
    """By split: photographs, patients, gradable."""
    bundle: Path

    def summary(self) -> dict[str, Any]:
        """What metrics.json holds; a figure that is not defined is null."""
        return {
            "test": _plain(self.test) | {"imageability": _value(self.imageability["all"])},
            "validation": _plain(self.validation),
            "sources": {
                name: _plain(found) | {"imageability": _value(self.imageability[name])}
                for name, found in self.sources.items()
            },
            "abstention": {
                name: _plain(one.figures) | {"coverage": _value(one.coverage), "reasons": one.reasons}
                for name, one in self.selective.items()
            },
            "counts": self.counts,
            "temperature": self.temperature,
            "operating": asdict(self.operating),
        }


def judge(
    params: EvaluateParams,
    table: pd.DataFrame,
    frame: pd.DataFrame,
    temperature: float,
    operating: Operating,
    bundle: Path,
) -> Evaluation:
    """``table``: every photograph of the set, gradable or not; ``frame``: the predictions on validation and test."""

    def figures(part: pd.DataFrame) -> Figures:
        return metrics.figures(part, operating, bootstrap=params.bootstrap, bins=params.calibration_bins)

    test = frame[frame["split"] == "test"]
    sources = {str(name): part for name, part in test.groupby("source")}
    everything = table[table["split"] == "test"]
    shares = {"all": everything["gradable"]} | {name: part["gradable"] for name, part in everything.groupby("source")}
    return Evaluation(
        test=figures(test),
        validation=figures(frame[frame["split"] == "validation"]),
        sources={name: figures(part) for name, part in sources.items()},
        imageability={str(name): _imageability(share) for name, share in shares.items()},
        selective={name: selective.measure(part, figures) for name, part in ({"all": test} | sources).items()},
        temperature=temperature,
        operating=operating,
        counts={str(split): _counts(part) for split, part in table.groupby("split")},
        bundle=bundle,
    )


def _imageability(gradable: Iterable[bool]) -> Interval:
    flags = np.asarray(list(gradable), dtype=bool)
    low, high = metrics.wilson(float(flags.sum()), len(flags))
    return Interval(float(flags.mean()) if len(flags) else float("nan"), low, high, len(flags))


def _counts(part: pd.DataFrame) -> dict[str, int]:
    return {
        "photographs": len(part),
        "patients": int(part["patient"].nunique()),
        "gradable": int(part["gradable"].sum()),
    }


def _plain(found: Figures) -> dict[str, Any]:
    plain = {name: _value(value) for name, value in found.intervals.items()}
    for name, (low, high) in found.wilson.items():
        if plain[name]["n"]:
            plain[name] |= {"wilson_low": low, "wilson_high": high}
    return plain


def _value(interval: Interval) -> dict[str, Any]:
    return {key: (None if value != value else value) for key, value in asdict(interval).items()}
