"""The journal of data set versions: datasets/<version>/ in the bucket, with data.dvc, summary and contact sheet."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from clarity.data import replacement
from clarity.data.workspace import DATA, DATA_FILE, Workspace
from clarity.errors import WorkspaceError
from clarity.storage.objects import Objects

_PREFIX = "datasets/"
_TYPES = {"png": "image/png", "md": "text/markdown", "json": "application/json", "csv": "text/csv"}


@dataclass(frozen=True, slots=True)
class Version:
    """One version of the data set."""

    version: str
    """32 hex digits, DVC's hash of data/."""
    created_at: datetime
    """When it was first recorded, UTC."""
    summary: dict[str, Any]
    """Counts, see ``summary.figures``."""


def record(objects: Objects, version: str, files: dict[str, bytes]) -> None:
    """Write a version's files; summary.json last, so that a version is listed only when it is whole.

    Raises StorageError.
    """
    for name in sorted(files, key=lambda n: n == "summary.json"):
        kind = _TYPES.get(name.rpartition(".")[2], "text/plain")
        objects.put(f"{_PREFIX}{version}/{name}", files[name], kind)


def versions(objects: Objects) -> list[Version]:
    """All recorded versions, oldest first. Raises StorageError."""
    found = []
    for entry in objects.list(_PREFIX):
        if entry.key.endswith("/summary.json"):
            summary = json.loads(objects.get(entry.key))
            found.append(Version(entry.key.split("/")[1], entry.modified, summary))
    return sorted(found, key=lambda version: version.created_at)


def show(objects: Objects, version: str) -> str:
    """The one-page summary of a version, Markdown; ``version`` may be its first digits.

    Raises WorkspaceError (unknown or not unique), StorageError.
    """
    return objects.get(f"{_PREFIX}{resolve(objects, version)}/summary.md").decode()


def picture(objects: Objects, version: str, *, seconds: int) -> str:
    """A URL of the version's contact sheet that expires."""
    return objects.presign(f"{_PREFIX}{version}/contact.png", seconds=seconds)


def refuse_another(workspace: Workspace, objects: Objects) -> None:
    """Raise WorkspaceError where data/ is not the version that data.dvc names: the named one would be lost, or lied of.

    A version that this store never had is no reason, for nobody could check it out: the phantoms' in a fresh clone.
    Raises StorageError too.
    """
    if not (workspace.path / DATA_FILE).exists() or workspace.holds_named():
        return
    named, data = workspace.data_version(), workspace.path / DATA
    journal = f"{_PREFIX}{named}/summary.json"
    if not objects.exists(journal):
        return
    count = sum(1 for path in (data / "photographs").rglob("*") if path.is_file())
    raise WorkspaceError(
        f"{workspace.path}: {DATA_FILE} names version {named[:12]} of {json.loads(objects.get(journal))['total']} "
        f"photographs, and {DATA}/ {f'is not that but holds {count}' if data.exists() else 'is absent'}; "
        f"`clarity data checkout {named[:12]}` first"
    )


def checkout(workspace: Workspace, objects: Objects, version: str) -> str:
    """Make data/ and data.dvc those of a version and give its full name; on failure they stay as they were.

    An ingest that was cut off is undone first, or the next one would undo this. Raises WorkspaceError, StorageError.
    """
    full = resolve(objects, version)
    text = objects.get(f"{_PREFIX}{full}/{DATA_FILE}").decode()
    place = workspace.path / DATA_FILE
    with workspace.lock():
        replacement.recover(workspace)
        before = place.read_text(encoding="utf-8") if place.exists() else None
        place.write_text(text, encoding="utf-8")
        try:
            workspace.dvc("pull", "--force", DATA_FILE)
            workspace.remember_held()
        except BaseException:
            _put_back(workspace, before)
            raise
    return full


def resolve(objects: Objects, version: str) -> str:
    """The full name of the version that starts with these digits. Raises WorkspaceError, StorageError."""
    if not version:
        raise WorkspaceError("data set version '': give its first digits; `clarity data list` shows them")
    prefix = f"{_PREFIX}{version}"
    names = {entry.key.split("/")[1] for entry in objects.list(prefix) if entry.key.endswith("/summary.json")}
    if len(names) != 1:
        verdict = f"means {len(names)} versions, give more digits" if names else "no such version; `clarity data list`"
        raise WorkspaceError(f"data set version {version}: {verdict}")
    return names.pop()


def _put_back(workspace: Workspace, before: str | None) -> None:
    place = workspace.path / DATA_FILE
    if before is None:
        place.unlink()
        return
    place.write_text(before, encoding="utf-8")
    workspace.dvc("checkout", "--force", DATA_FILE)
