"""The photographs and results of jobs, as files in memory that the HTTP process and the workers share.

LitServe's queue lives in a process of its own: every byte through it is pickled and copied four times (9 ms for 800
kB). So only the job's name goes through the queue. A worker claims a job by renaming its file, which one of them can;
what was taken back is not there to be claimed.

    NAME          handed over, not claimed
    NAME.PID      claimed by that process
    NAME.reply    answered
"""

import os
import pickle
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from clarity.errors import ClarityError, StorageUnavailable
from serving.reply import Job, Result
from serving.state import alive

Answered = list[Result] | ClarityError
CRATES, METRICS = "jobs", "metrics"
"""Folders in a service's run folder."""
_PREFIX = "clarity-serve-"
_MEMORY = Path("/dev/shm")  # noqa: S108 - only as the parent of a folder of our own that nobody else may enter
_ENOUGH = 256 * 2**20


class Crates:
    """The folder of those files. Cheap to make and to hand to another process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def offer(self, name: str, job: Job) -> None:
        """Lay a job down. Raises StorageUnavailable where there is no room."""
        draft = self._folder / f"{name}.draft"
        try:
            with draft.open("xb") as file:
                pickle.dump(job, file, 5)
            draft.rename(self._folder / name)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise StorageUnavailable(f"{self._folder}: {error.strerror}, no room to hand a photograph over") from None

    def claim(self, name: str) -> Job | None:
        """Take a job; None where it was taken back, or is another's."""
        try:
            claimed = (self._folder / name).rename(self._claimed(name, os.getpid()))
            with claimed.open("rb") as file:
                job = pickle.load(file)  # noqa: S301 - of our own process, in a folder of our own
        except FileNotFoundError:
            return None
        return job if isinstance(job, Job) else None

    def answer(self, name: str, answered: Answered) -> None:
        """Put the results where the job lay. Nothing happens where it was taken back meanwhile."""
        claimed = self._claimed(name, os.getpid())
        with suppress(FileNotFoundError):
            with claimed.open("r+b") as file:  # which makes no file
                file.truncate()
                pickle.dump(answered, file, 5)
            claimed.rename(self._reply(name))

    def collect(self, name: str) -> Answered | None:
        """The results; None where there are none yet."""
        try:
            with self._reply(name).open("rb") as file:
                found: Answered = pickle.load(file)  # noqa: S301 - of our own worker
        except FileNotFoundError:
            return None
        return found

    def discard(self, name: str) -> None:
        """Take a job back, in whatever state it is."""
        with suppress(FileNotFoundError):
            for found in self._folder.iterdir():
                if found.name.partition(".")[0] == name:
                    found.unlink(missing_ok=True)

    def is_unclaimed(self, name: str) -> bool:
        """Whether a job waits for a worker."""
        return (self._folder / name).exists()

    def is_claimed_by(self, name: str, pid: int) -> bool:
        """Whether that process has it."""
        return self._claimed(name, pid).exists()

    def claimants(self) -> set[int]:
        """The processes that have a job."""
        ends = [found.name.partition(".")[2] for found in self._folder.iterdir()]
        return {int(end) for end in ends if end.isdecimal()}

    def _claimed(self, name: str, pid: int) -> Path:
        return self._folder / f"{name}.{pid}"

    def _reply(self, name: str) -> Path:
        return self._folder / f"{name}.reply"


def make_run_folder() -> Path:
    """A folder of this service, in memory where there is room; what services that were killed left is removed."""
    roomy = _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ENOUGH
    parent = _MEMORY if roomy else Path(tempfile.gettempdir())
    for old in parent.glob(f"{_PREFIX}*"):
        pid = old.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdecimal() and old.is_dir() and old.stat().st_uid == os.getuid() and not alive(int(pid)):
            shutil.rmtree(old, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent))
    for name in (CRATES, METRICS):
        (made / name).mkdir()
    return made
