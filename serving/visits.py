"""What the service answers of a patient's history: visits, and what changed since the one before."""

from datetime import date
from typing import Any, Literal, Self
from uuid import UUID

from pydantic import ConfigDict, Field

from clarity.screening.since import Since
from clarity.storage.history import PastVisit
from serving import examples
from serving.records import Grade, OutcomeAnswer, Record, Result
from serving.scanned import ScanAnswer
from serving.schemas import STATEMENT


class EyeChanged(Record):
    """One eye since the last visit: a grade where somebody or something graded it, null otherwise."""

    eye: Literal["left", "right"]
    before: Grade | None
    now: Grade | None
    verdict: Literal["better", "worse", "same", "not comparable"]


class SinceAnswer(Record):
    """What changed since the visit before."""

    visit: str
    visited_on: date | None
    eyes: list[EyeChanged] = Field(min_length=2, max_length=2)
    result_before: Result | None
    result_now: Result | None
    same_model: bool = Field(description="One model version judged both visits.")

    @classmethod
    def of(cls, since: Since) -> Self:
        """From the comparison."""
        return cls(
            visit=since.before.visit,
            visited_on=since.before.visited_on,
            eyes=[EyeChanged(eye=e.eye, before=e.before, now=e.now, verdict=e.verdict) for e in since.eyes],
            result_before=_result(since.result_before),
            result_now=_result(since.result_now),
            same_model=since.same_model,
        )


class VisitAnswer(Record):
    """An encounter."""

    visit: str
    visited_on: date | None
    outcome: OutcomeAnswer | None
    earlier_outcomes: list[OutcomeAnswer] = Field(description="Of other model versions, superseded.")
    since: SinceAnswer | None = Field(description="Null for the first visit.")
    scans: list[ScanAnswer]

    @classmethod
    def of(cls, visit: PastVisit, since: Since | None, scans: list[ScanAnswer]) -> Self:
        """From rows."""
        outcomes = [(one.superseded, OutcomeAnswer.of(one)) for one in visit.outcomes]
        return cls(
            visit=visit.visit,
            visited_on=visit.visited_on,
            outcome=next((told for superseded, told in outcomes if not superseded), None),
            earlier_outcomes=[told for superseded, told in outcomes if superseded and told],
            since=SinceAnswer.of(since) if since else None,
            scans=scans,
        )


class History(Record):
    """All that is known of a patient's eyes, the newest visit first."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.HISTORY]})
    patient: UUID
    visits: list[VisitAnswer]
    statement: str = STATEMENT


def _result(said: str | None) -> Any:
    return said
