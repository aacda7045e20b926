"""A DVC workspace: the folder of conf/pipeline.yaml, dvc.yaml, data.dvc, data/ and artifacts/.

DVC runs as a child process, one at a time: it does not wait for its own lock (DVC #10465), so a lock of ours comes
first. The child lives as long as the lock is held, for all commands; it ends with this process, whatever ends that, and
keeps the lock until it has. Addresses go to .dvc/config.local, credentials only through the child's environment.
"""

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Literal

import yaml

from clarity.data import template
from clarity.data.dvc import Dvc
from clarity.data.lock import Lock
from clarity.errors import WorkspaceError
from clarity.params import Params
from clarity.settings import Settings

DATA = "data"
DATA_FILE = "data.dvc"
REMOTE = "s3"
_EDGE = re.compile(r'^"(?P<first>[^"]+)"(?: -> "(?P<then>[^"]+)")?;$')
PATIENCE_S = 5.0
"""For what a killed ingest or training had started to end: until it has, the workspace is not free."""
_WAIT_S = 3600.0


def _ignore(_line: str) -> None: ...


class Workspace:
    """One workspace. Cheap to make; safe in threads and across processes."""

    def __init__(self, path: Path, settings: Settings) -> None:
        """``path``: the workspace's root; nothing is read or written yet."""
        self.path = Path(path).resolve()
        self.settings = settings
        self._lock = Lock(self.path / ".dvc" / "tmp" / "clarity.lock")
        self._dvc: Dvc | None = None

    def __repr__(self) -> str:
        return f"Workspace({self.path})"

    @classmethod
    def create(cls, project: Path, target: Path, params: Params, settings: Settings | None = None) -> "Workspace":
        """A workspace of its own with a copy of the project's code, ``params`` as its configuration, and DVC ready.

        Run again, it brings the copies up to date and leaves data, artifacts and DVC's memory. Settings are the
        environment's unless given. Raises WorkspaceError.
        """
        template.lay_out(Path(project), Path(target), params)
        workspace = cls(target, settings or Settings.load())
        workspace.init()
        return workspace

    def init(self) -> None:
        """Make DVC ready: .dvc/config where there is none, the S3 remote's address in .dvc/config.local.

        ``dvc init --no-scm`` would write such a file too, and need a second for it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with self.lock():
            config = self.path / ".dvc" / "config"
            if not config.exists():
                config.write_text(template.DVC_CONFIG, encoding="utf-8")
            local = template.remote_config(self.settings)
            place = self.path / ".dvc" / "config.local"
            if not place.exists() or place.read_text(encoding="utf-8") != local:
                place.write_text(local, encoding="utf-8")

    @contextmanager
    def lock(self, *, wait_s: float = _WAIT_S) -> Iterator[None]:
        """The only writer of this workspace while inside; again inside itself is fine. Raises AlreadyRunning."""
        with self._lock.held(wait_s):
            try:
                yield
            finally:
                if self._lock.depth == 1:
                    self._end_dvc()

    def dvc(self, *arguments: str, on_line: Callable[[str], None] = _ignore) -> list[str]:
        """Run one DVC command and give its lines, each also to ``on_line`` as it comes.

        Raises WorkspaceError with the command, its exit code and last lines.
        """
        if not (self.path / ".dvc").is_dir():
            raise WorkspaceError(f"{self.path}: no DVC workspace (Workspace.init makes one)")
        with self.lock():
            if self._dvc is None or not self._dvc.runs:
                self._end_dvc()
                self._dvc = Dvc(self.path, self._environment(), self._lock.descriptors)
            return self._dvc.run(*arguments, on_line=on_line)

    def stages(self) -> list[str]:
        """Names of the stages of dvc.yaml as DVC orders them: whatever a stage needs comes before it."""
        before: dict[str, set[str]] = {}
        for line in self.dvc("dag", "--dot"):
            if edge := _EDGE.match(line.strip()):
                before.setdefault(edge["first"], set())
                if edge["then"]:
                    before.setdefault(edge["then"], set()).add(edge["first"])
        try:
            ordered = list(TopologicalSorter({name: sorted(before[name]) for name in sorted(before)}).static_order())
        except CycleError as error:
            raise WorkspaceError(f"{self.path}/dvc.yaml: a circle of stages ({error.args[1]})") from None
        return [name for name in ordered if not name.endswith(".dvc")]

    def repro(self, stage: str, on_line: Callable[[str], None] = _ignore) -> Literal["ran", "cached"]:
        """Bring one stage up to date; DVC's cache decides whether it runs. Raises WorkspaceError where it fails."""
        lines = self.dvc("repro", "--single-item", stage, on_line=on_line)
        return "ran" if any(line.startswith("Running stage") for line in lines) else "cached"

    def holds_named(self) -> bool:
        """True where data/ is whole and the version that data.dvc names. Raises WorkspaceError.

        DVC is asked where anything has changed since it was last seen to be so: 3 s for 50,000 photographs.
        """
        if not (self.path / DATA).exists():
            return False
        if self._held.exists() and self._held.read_text(encoding="utf-8") == self._seal():
            return True
        held = "{}" in self.dvc("status", "--json", DATA_FILE)
        if held:
            self.remember_held()
        return held

    def remember_held(self) -> None:
        """Say that data/ is what data.dvc names, as it is once DVC has added or pulled it."""
        self._held.write_text(self._seal(), encoding="utf-8")

    @property
    def _held(self) -> Path:
        return self.path / ".dvc" / "tmp" / "clarity.held"

    def _seal(self) -> str:
        """Another with another data.dvc or table, and with every file that comes or goes: its folder tells."""
        data = self.path / DATA
        seen = [*data.glob("*.csv"), *(Path(folder) for folder, _, _ in os.walk(data))]
        times = sorted(f"{path.relative_to(data)} {path.stat().st_mtime_ns}" for path in seen)
        return "\n".join([*times, self.data_file()])

    def data_version(self) -> str:
        """The 32 hex digits that data.dvc says: the name of this version of data/. Raises WorkspaceError."""
        return version_of(self.data_file())

    def data_file(self) -> str:
        """data.dvc as text. Raises WorkspaceError where there is no data set yet."""
        try:
            return (self.path / DATA_FILE).read_text(encoding="utf-8")
        except OSError:
            raise WorkspaceError(f"{self.path}: no {DATA_FILE}, no data set yet; `clarity ingest` makes one") from None

    def _end_dvc(self) -> None:
        if self._dvc is not None:
            self._dvc.end()
            self._dvc = None

    def _environment(self) -> dict[str, str]:
        programs = str(Path(sys.executable).parent)  # stages call `python`, and mean this one
        paths = os.pathsep.join([programs, os.environ.get("PATH", os.defpath)])
        quiet = {"DVC_NO_ANALYTICS": "1", "PYTHONUNBUFFERED": "1", "PATH": paths}
        return {**os.environ, **self.settings.environment(), **quiet}


def version_of(data_file: str) -> str:
    """The data set's version in the text of a data.dvc. Raises WorkspaceError where it has none."""
    try:
        out = yaml.safe_load(data_file)["outs"][0]
        return str(out["md5"]).removesuffix(".dir")
    except (yaml.YAMLError, KeyError, IndexError, TypeError):
        raise WorkspaceError(f"{DATA_FILE}: not a file that DVC wrote") from None
