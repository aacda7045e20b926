"""What each inference worker serves: one small JSON file a worker, which the HTTP processes read.

No queue and no shared lock: a worker that hangs or dies leaves its last word, and nobody waits for it.
"""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class State:
    """The last word of one worker."""

    worker: int
    pid: int
    settled: bool = False
    """It has tried: it serves a model, or knows why it has none."""
    generation: int = 0
    """How many models this worker, and those that it replaced, have put into service."""
    name: str = ""
    version: str | None = None
    """Of the model in service; None where there is none."""
    bundle: str = ""
    """Its directory."""
    precision: str = ""
    since: float = 0.0
    """Unix time at which it went into service."""
    code: str = ""
    reason: str = ""
    """Why there is no model, or why the registry could not be followed; empty where all is well."""
    refused_version: str = ""
    """The champion that was refused while another keeps serving, or none."""
    refused_reason: str = ""


class Board:
    """The folder of those files. Cheap to make and to hand to another process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, state: State) -> None:
        """Replace a worker's word, whole or not at all."""
        draft = self.folder / f".worker-{state.worker}.{state.pid}"
        draft.write_text(json.dumps(asdict(state)))
        draft.replace(self.folder / f"worker-{state.worker}.json")

    def read(self) -> list[State]:
        """Every worker's last word, in order of their numbers."""
        files = sorted(self.folder.glob("worker-*.json"))
        return sorted((State(**json.loads(file.read_text())) for file in files), key=lambda state: state.worker)

    def living(self) -> list[State]:
        """Of the workers whose processes run."""
        return [state for state in self.read() if alive(state.pid)]

    def in_service(self) -> State | None:
        """The word of the living worker that was the last to change its model; None where none has one."""
        serving = [state for state in self.living() if state.version is not None]
        return max(serving, key=lambda state: state.since, default=None)


class Report:
    """One worker's place on the board: ``say`` changes some fields and writes the rest again."""

    def __init__(self, board: Board, worker: int) -> None:
        self._board = board
        found = [state for state in board.read() if state.worker == worker]
        self.before: State | None = found[0] if found else None
        """What the worker that this one replaces said last."""
        self.now = State(worker, os.getpid(), generation=self.before.generation if self.before else 0)
        board.write(self.now)

    def say(self, **changes: object) -> None:
        """Write it where something is new."""
        fresh = replace(self.now, **changes)  # type: ignore[arg-type]
        if fresh != self.now:
            self.now = fresh
            self._board.write(fresh)


def alive(pid: int, of: Callable[[int], psutil.Process] = psutil.Process) -> bool:
    """Whether a process runs; one that has ended and whom nobody has buried yet does not."""
    try:
        return bool(of(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
