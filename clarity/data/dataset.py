"""data/ on disk: the three tables and the photographs of one version."""

import os
import shutil
from pathlib import Path

import pandas as pd

from clarity.data import manifest
from clarity.data.manifest import photograph_path
from clarity.data.merge import DataSet, nothing
from clarity.errors import ManifestError, SourceError

MANIFEST, DUPLICATES, QUARANTINE = "manifest.csv", "duplicates.csv", "quarantine.csv"


def load(folder: Path) -> DataSet:
    """The tables of a data folder; an empty data set where there is no folder. Raises ManifestError."""
    if not folder.exists():
        return nothing()
    return DataSet(*(manifest.read(folder / name) for name in (MANIFEST, DUPLICATES, QUARANTINE)))


def same(one: DataSet, other: DataSet) -> bool:
    """True where both would be written as the same bytes."""
    pairs = zip(_tables(one), _tables(other), strict=True)
    return all(_text(a).equals(_text(b)) for (_, a), (_, b) in pairs)


def build(new: DataSet, target: Path, places: list[Path]) -> None:
    """Lay out ``new`` in the empty folder ``target``, photographs as hard links out of the first place that has them.

    Raises ManifestError where a photograph is nowhere, SourceError where the disk does not take it.
    """
    shutil.rmtree(target, ignore_errors=True)
    try:
        target.mkdir(parents=True)
        for prefix in sorted(set(new.manifest["sha256"].str[:2])):
            (target / "photographs" / prefix).mkdir(parents=True)
        for sha, suffix in zip(new.manifest["sha256"], new.manifest["suffix"], strict=True):
            relative = photograph_path(sha, suffix)
            source = next((place / relative for place in places if (place / relative).exists()), None)
            if source is None:
                raise ManifestError(f"photograph {sha}: in the manifest, and nowhere on disk (`dvc checkout` may help)")
            os.link(source, target / relative)
        for name, table in _tables(new):
            manifest.write(table, target / name)
    except OSError as error:
        raise SourceError(f"{target}: {error.strerror}, the new version cannot be laid out") from None


def _tables(data: DataSet) -> list[tuple[str, pd.DataFrame]]:
    return [(MANIFEST, data.manifest), (DUPLICATES, data.duplicates), (QUARANTINE, data.quarantine)]


def _text(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values(["sha256", "source", "name"], kind="stable").astype(str).reset_index(drop=True)
