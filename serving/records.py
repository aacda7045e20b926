"""What the service answers of records: a visit's outcome, and predictions with the place where they are stored.

Examples stand at the schemas, so that the OpenAPI document, /docs and docs/api.md show the same ones.
"""

from datetime import date, datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from clarity.storage.history import Joined
from clarity.storage.known import Known
from serving import examples
from serving.schemas import Answer, Problem

Grade = Annotated[int, Field(ge=0, le=4)]
Sha = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
"""Of a scan: the sha256 of its photograph."""
Result = Literal["refer", "review", "incomplete", "no referral"]
ADDRESS = "Presigned: it reads one object, without a key, until it expires."


class Record(BaseModel):
    """Base of what is answered."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class OutcomeAnswer(Record):
    """The joined result of a visit so far: never a silent "no DR"."""

    result: Result
    reasons: list[str] = Field(description="What is known of each eye, in words.")
    action: str = Field(description="What the referral policy asks for, in its own words.")
    policy: str = Field(examples=["ada 2017.1"])
    not_derivable: list[str] = Field(description="What the policy needs and the model cannot know.")
    due_on: date | None = Field(description="When the next step is due at the latest.")
    priority: int = Field(
        ge=0, le=4, description="0 vision-threatening, 1 referable, 2 uncertain, 3 unfinished, 4 none"
    )
    worst_grade: Grade | None
    left_grade: Grade | None
    right_grade: Grade | None
    macular_oedema: str = Field(examples=["not assessed"])
    model: str
    model_version: str
    reviewed_at: datetime | None = Field(description="When people had read all that needed them.")

    @classmethod
    def of(cls, joined: Joined | None) -> Self | None:
        """None where nothing is joined yet."""
        if joined is None:
            return None
        return cls.model_validate({name: plain(getattr(joined, name)) for name in cls.model_fields})


class StoredAnswer(Record):
    """Where the photograph stands in the patient's record."""

    patient: UUID
    scan: Sha
    eye: str
    field: str
    visit: str
    visit_type: str
    recapture: bool = Field(description="This eye should be photographed again.")
    outcome: OutcomeAnswer | None = Field(description="Of the visit, as far as it goes.")
    capture_url: str = Field(description=ADDRESS)


class Predicted(Answer):
    """One photograph's result; with a patient also where it is stored."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.PREDICTED]})
    stored: StoredAnswer | None = Field(description="Null where no patient was named: then nothing is stored.")


class BatchItem(Record):
    """An answer or a problem: one of them is null."""

    status: int = Field(description="As the photograph alone would have been answered.", examples=[200])
    answer: Predicted | None
    problem: Problem | None


class Batch(Record):
    """In the order of the files; one model version for all."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.BATCH]})
    items: list[BatchItem]


def stored(known: Known, capture_url: str) -> StoredAnswer:
    """Where a scan stands."""
    scan = known.scan
    return StoredAnswer(
        patient=known.patient,
        scan=scan.sha256,
        eye=scan.eye,
        field=scan.field,
        visit=scan.visit,
        visit_type=scan.visit_type,
        recapture=scan.recapture,
        outcome=OutcomeAnswer.of(known.outcome),
        capture_url=capture_url,
    )


def plain(value: Any) -> Any:
    """A row's value as JSON has it: a tuple is a list."""
    return list(value) if isinstance(value, tuple) else value
