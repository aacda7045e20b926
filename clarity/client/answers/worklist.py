"""Visits that wait for a person."""

from dataclasses import dataclass
from datetime import date

from clarity.client.reading import Answer


@dataclass(frozen=True)
class WorklistScan(Answer):
    """A scan of the visit: where to look."""

    scan: str
    eye: str = "unknown"
    field: str = "unknown"
    state: str = ""
    recapture: bool = False


@dataclass(frozen=True)
class WorklistEntry(Answer):
    """``priority``: 0 vision-threatening, 1 referable, 2 uncertain, 3 ungradable or incomplete."""

    patient: str
    visit: str
    priority: int
    result: str
    action: str = ""
    due_on: date | None = None
    reasons: tuple[str, ...] = ()
    policy: str = ""
    not_derivable: tuple[str, ...] = ()
    worst_grade: int | None = None
    left_grade: int | None = None
    right_grade: int | None = None
    macular_oedema: str = "not assessed"
    model: str = ""
    model_version: str = ""
    scans: tuple[WorklistScan, ...] = ()
