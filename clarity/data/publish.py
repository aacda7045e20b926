"""The second half's end: a merged data set becomes the workspace's version, pushed, reported and journalled."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from clarity.data import contact, dataset, replacement, summary, versions
from clarity.data.collect import Collected
from clarity.data.merge import DataSet
from clarity.data.workspace import DATA, DATA_FILE, Workspace
from clarity.errors import SourceError, WorkspaceError
from clarity.params import Params
from clarity.storage.objects import Objects

_PUSH_JOBS = 16


def publish(
    workspace: Workspace,
    new: DataSet,
    pairs: pd.DataFrame,
    params: Params,
    objects: Objects,
    collected: Collected,
    on_line: Callable[[str], None],
) -> Path:
    """Lay ``new`` out beside the present version, swap, ``dvc add``, ``dvc push``, journal; the report's folder.

    ``collected``: has staged the photographs that the present version lacks. Raises WorkspaceError, StorageError,
    SourceError; then the previous version stands.
    """
    objects.ensure_bucket()
    target = workspace.path / replacement.STAGING / "next"
    dataset.build(new, target, [Path(collected.staging), workspace.path / DATA])
    with replacement.replacing(workspace, target):
        _dvc(workspace, on_line, "add", "--quiet", DATA)
        _push(workspace, objects, on_line)
        folder = report(workspace, new, pairs, params, collected)
        files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
        versions.record(objects, folder.name, files)
    workspace.remember_held()
    return folder


def report(workspace: Workspace, new: DataSet, pairs: pd.DataFrame, params: Params, collected: Collected) -> Path:
    """The folder, named by the present version, with its page, contact sheet, quarantine and near-duplicates."""
    folder = workspace.settings.home / "ingest" / workspace.data_version()
    if (folder / DATA_FILE).exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    picture = contact.sheet(new.manifest, workspace.path / DATA, params.imaging)
    (folder / "contact.png").write_bytes(contact.encode(picture))
    left = summary.left_out(collected.unused, collected.unused_first)
    page = summary.page(folder.name, new, pairs, left and f"The last ingest, of {collected.source}, left out {left}.")
    (folder / "summary.md").write_text(page, encoding="utf-8")
    (folder / "summary.json").write_text(json.dumps(summary.figures(new, pairs), indent=1), encoding="utf-8")
    new.quarantine.to_csv(folder / "quarantine.csv", index=False)
    pairs.to_csv(folder / "near_duplicates.csv", index=False)
    (folder / DATA_FILE).write_text(workspace.data_file(), encoding="utf-8")
    return folder


def _push(workspace: Workspace, objects: Objects, on_line: Callable[[str], None]) -> None:
    try:
        _dvc(workspace, on_line, "push", "--quiet", "--jobs", str(_PUSH_JOBS), DATA_FILE)
    except WorkspaceError:
        objects.ensure_bucket()  # where the store is away, that is what is said
        raise


def _dvc(workspace: Workspace, on_line: Callable[[str], None], *arguments: str) -> None:
    on_line(f"dvc {arguments[0]}")
    try:
        workspace.dvc(*arguments, on_line=on_line)
    except WorkspaceError as error:
        if "No space left" in str(error):
            raise SourceError(f"{workspace.path}: the disk is full; the data set is unchanged") from error
        raise
