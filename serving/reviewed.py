"""A person's decision about a scan: as it is sent, as it is told, and what it led to."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from clarity.storage.reviews import Review
from serving import examples
from serving.records import Grade, OutcomeAnswer, Record, Sha
from serving.schemas import TEXT, WHOLE

Decision = Literal["agree", "grade", "ungradable"]


class ReviewAnswer(Record):
    """A person's decision."""

    decision: Decision
    grade: Grade | None
    comment: str | None
    reviewer: str = Field(description="A pseudonymous id: the name of the key.")
    at: datetime | None

    @classmethod
    def of(cls, review: Review) -> Self:
        """From what is stored."""
        return cls.model_validate({name: getattr(review, name) for name in cls.model_fields})


_DECISIONS: list[JsonValue] = [
    {"properties": {"decision": {"enum": ["agree", "ungradable"]}, "grade": {"type": "null"}}},
    {"properties": {"decision": {"const": "grade"}, "grade": {"type": "integer"}}, "required": ["grade"]},
]
"""Which decision goes with a grade, for who reads the document."""


class ReviewRequest(BaseModel):
    """A decision about a scan; the grade goes with the decision "grade" and with no other."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_extra={"examples": [examples.REVIEW], "oneOf": _DECISIONS}
    )
    decision: Decision
    grade: Annotated[int, Field(ge=0, le=4, strict=True), WHOLE] | None = None
    comment: Annotated[str, StringConstraints(max_length=4000, pattern=TEXT)] | None = None


class Reviewed(Record):
    """What a review led to."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.REVIEWED]})
    scan: Sha
    review: ReviewAnswer
    outcome: OutcomeAnswer = Field(description="Of the visit, joined again.")
    closed: bool = Field(description="People have read all that the visit needed people for: it is off the worklist.")
