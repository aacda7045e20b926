"""What a result depends on: versions of data and code, and the hashes that tell a stale checkpoint from a fresh one."""

import hashlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from clarity.data.workspace import DATA_FILE, version_of
from clarity.errors import WorkspaceError
from clarity.training.paths import Paths

UNVERSIONED = "unversioned"
_PACKAGES = ("training", "imaging", "params.py", "grades.py")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the data and the code came from."""

    data_version: str
    """The DVC hash of data/, or "unversioned"."""
    git_commit: str


def origin(root: Path) -> Origin:
    """Of a workspace: data.dvc says the data's version; $CLARITY_GIT_COMMIT, or else git, the code's."""
    file = root / DATA_FILE
    version = version_of(file.read_text(encoding="utf-8")) if file.is_file() else UNVERSIONED
    return Origin(version, os.environ.get("CLARITY_GIT_COMMIT") or git_commit(root))


def code_hash() -> str:
    """sha256 of the source that a training's result depends on: of the copy that runs, wherever it lies."""
    package = Path(__file__).resolve().parent.parent
    found = hashlib.sha256()
    for name in _PACKAGES:
        place = package / name
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            found.update(str(file.relative_to(package)).encode() + b"\0" + file.read_bytes())
    return found.hexdigest()


def data_hash(paths: Paths) -> str:
    """sha256 of who is in which split and of which prepared photographs there are."""
    found = hashlib.sha256()
    for path in (paths.split, paths.prepared / "index.csv"):
        try:
            found.update(path.read_bytes())
        except OSError as error:
            raise WorkspaceError(f"{path}: {error.strerror}, run the stage that writes it") from None
    return found.hexdigest()


def git_commit(folder: Path) -> str:
    """The commit of the project that the folder lies in, "+changes" where its files differ; "unknown" outside git."""
    head = _git(folder, "rev-parse", "HEAD")
    if not head:
        return "unknown"
    return head + ("+changes" if _git(folder, "status", "--porcelain", "--untracked-files=no") else "")


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
