"""What the service answers of the worklist: visits that wait for a person."""

from datetime import date
from typing import Self
from uuid import UUID

from pydantic import ConfigDict, Field

from clarity.storage.worklist import Entry
from serving import examples
from serving.records import Grade, Record, Result, Sha, plain
from serving.schemas import STATEMENT


class ShownAnswer(Record):
    """A capture of an entry: where to look."""

    scan: Sha
    eye: str
    field: str
    state: str
    recapture: bool


class WorklistEntry(Record):
    """A visit that waits for a person."""

    patient: UUID
    visit: str
    priority: int = Field(ge=0, le=3)
    due_on: date | None
    result: Result
    reasons: list[str]
    action: str
    policy: str
    not_derivable: list[str]
    worst_grade: Grade | None
    left_grade: Grade | None
    right_grade: Grade | None
    macular_oedema: str
    model: str
    model_version: str
    scans: list[ShownAnswer]

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """From the worklist."""
        own = {"patient", "priority", "due_on", "scans"}
        return cls.model_validate(
            {
                **{name: plain(getattr(entry, name)) for name in cls.model_fields if name not in own},
                "patient": entry.uid,
                "priority": entry.cursor.priority,
                "due_on": entry.cursor.due_on,
                "scans": [
                    {"scan": c.sha256, "eye": c.eye, "field": c.field, "state": c.state, "recapture": c.recapture}
                    for c in entry.captures
                ],
            }
        )


class Worklist(Record):
    """A page: vision-threatening first, then referable, uncertain, unfinished; the earliest due first."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.WORKLIST]})
    entries: list[WorklistEntry]
    following: str | None = Field(description="The cursor of the next page; null at the end.")
    statement: str = STATEMENT
