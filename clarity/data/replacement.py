"""How a new version of data/ takes the old one's place, whole or not at all, whatever kills it."""

import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from clarity.data.workspace import DATA, DATA_FILE, Workspace, version_of
from clarity.errors import WorkspaceError

log = logging.getLogger(__name__)

STAGING = ".data-staging"
_MARKER = "commit.json"


@dataclass(frozen=True, slots=True)
class _Before:
    """What stood before a replacement began: the marker's content, there until the replacement has ended."""

    data_file: str | None
    """data.dvc as text; None where there was none."""
    data: bool
    """There was a data/."""


@contextmanager
def replacing(workspace: Workspace, target: Path) -> Iterator[None]:
    """``target`` stands as data/ inside; whatever is raised inside, the previous data/ and data.dvc are put back.

    Even after a kill: ``recover`` puts them back then, and until it does ``standing`` names the previous version.
    """
    data, marker = workspace.path / DATA, _marker(workspace)
    data_file = workspace.path / DATA_FILE
    before = _Before(data_file.read_text(encoding="utf-8") if data_file.exists() else None, data.exists())
    draft = marker.with_suffix(".draft")  # renamed: a kill leaves no half of a marker
    draft.write_text(json.dumps(asdict(before)), encoding="utf-8")
    draft.rename(marker)
    try:
        if data.exists():
            data.rename(_previous(workspace))
        target.rename(data)
        yield
    except BaseException:
        recover(workspace)
        raise
    marker.unlink()
    remove(_previous(workspace))


def recover(workspace: Workspace) -> None:
    """Undo a replacement that did not come to its end, under the workspace's lock; harmless where there is none."""
    data, old = workspace.path / DATA, _previous(workspace)
    before = _unfinished(workspace)
    if before is None:
        remove(old)
        return
    if old.exists():
        remove(data)
        old.rename(data)
    elif not before.data:
        remove(data)
    if before.data_file is None:
        (workspace.path / DATA_FILE).unlink(missing_ok=True)
    else:
        (workspace.path / DATA_FILE).write_text(before.data_file, encoding="utf-8")
    _marker(workspace).unlink()
    log.warning("%s: an ingest did not come to its end; data/ and data.dvc are those of before", workspace.path)


def standing(workspace: Workspace) -> str:
    """The version that counts: while an ingest is at work, and after one was cut off, still the previous one.

    Only reads. Raises WorkspaceError where there is no data set yet.
    """
    named = workspace.data_file()  # read before the marker, which is there before data.dvc changes
    before = _unfinished(workspace)
    if before is None:
        return version_of(named)
    if before.data_file is None:
        raise WorkspaceError(f"{workspace.path}: the first ingest has not come to its end, no data set yet")
    return version_of(before.data_file)


def refuse_unfinished(workspace: Workspace) -> None:
    """Raise WorkspaceError where data/ is that of an ingest which is at work or was cut off."""
    if _unfinished(workspace) is not None:
        raise WorkspaceError(
            f"{workspace.path}: {DATA}/ is that of an ingest that is at work or was cut off; "
            "`clarity train`, `clarity ingest` and `clarity data checkout` put the previous version back first"
        )


def remove(folder: Path) -> None:
    """Delete a folder; harmless where there is none."""
    if folder.exists():
        shutil.rmtree(folder)


def _unfinished(workspace: Workspace) -> _Before | None:
    try:
        return _Before(**json.loads(_marker(workspace).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def _marker(workspace: Workspace) -> Path:
    return workspace.path / STAGING / _MARKER


def _previous(workspace: Workspace) -> Path:
    return workspace.path / STAGING / "previous"
