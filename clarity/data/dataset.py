"""data/ on disk: the three tables and the photographs of one version, and how a new version takes its place."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from clarity.data import manifest
from clarity.data.manifest import photograph_path
from clarity.data.merge import DataSet, nothing
from clarity.data.workspace import DATA, DATA_FILE, Workspace
from clarity.errors import ManifestError, SourceError

MANIFEST, DUPLICATES, QUARANTINE = "manifest.csv", "duplicates.csv", "quarantine.csv"
STAGING = ".data-staging"
_MARKER = "commit.json"


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


@contextmanager
def replacing(workspace: Workspace, target: Path) -> Iterator[None]:
    """``target`` stands as data/ inside; whatever is raised inside, the previous data/ and data.dvc are put back.

    Even after a kill: ``recover`` puts them back then.
    """
    data, old = workspace.path / DATA, workspace.path / f"{STAGING}/previous"
    marker = workspace.path / STAGING / _MARKER
    data_file = workspace.path / DATA_FILE
    before = data_file.read_text(encoding="utf-8") if data_file.exists() else None
    marker.write_text(json.dumps({"data_file": before, "data": data.exists()}), encoding="utf-8")
    try:
        if data.exists():
            data.rename(old)
        target.rename(data)
        yield
    except BaseException:
        recover(workspace)
        raise
    marker.unlink()
    remove(old)


def recover(workspace: Workspace) -> bool:
    """Undo a replacement that did not come to its end. True where there was one."""
    data, old = workspace.path / DATA, workspace.path / f"{STAGING}/previous"
    marker = workspace.path / STAGING / _MARKER
    if not marker.exists():
        remove(old)
        return False
    before = json.loads(marker.read_text(encoding="utf-8"))
    if old.exists():
        remove(data)
        old.rename(data)
    elif not before["data"]:
        remove(data)
    if before["data_file"] is None:
        (workspace.path / DATA_FILE).unlink(missing_ok=True)
    else:
        (workspace.path / DATA_FILE).write_text(before["data_file"], encoding="utf-8")
    marker.unlink()
    return True


def remove(folder: Path) -> None:
    """Delete a folder; harmless where there is none."""
    if folder.exists():
        shutil.rmtree(folder)


def _tables(data: DataSet) -> list[tuple[str, pd.DataFrame]]:
    return [(MANIFEST, data.manifest), (DUPLICATES, data.duplicates), (QUARANTINE, data.quarantine)]


def _text(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values(["sha256", "source", "name"], kind="stable").astype(str).reset_index(drop=True)
