"""What the service answers of records: stored predictions, scans, visits, the worklist; and what a review says.

Examples stand at the schemas, so that the OpenAPI document, /docs and docs/api.md show the same ones.
"""

from datetime import date, datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from clarity import grades
from clarity.screening.since import Since
from clarity.storage.history import Joined, PastScan, PastVisit, Said
from clarity.storage.known import Known
from clarity.storage.reviews import Review
from clarity.storage.worklist import Entry
from serving import examples
from serving.schemas import STATEMENT, WHOLE, Answer, Problem

Grade = Annotated[int, Field(ge=0, le=4)]
Sha = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
"""Of a scan: the sha256 of its photograph."""
Result = Literal["refer", "review", "incomplete", "no referral"]
Decision = Literal["agree", "grade", "ungradable"]
_ADDRESS = "Presigned: it reads one object, without a key, until it expires."


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
        return cls.model_validate({name: _plain(getattr(joined, name)) for name in cls.model_fields})


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
    capture_url: str = Field(description=_ADDRESS)


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


class PredictionAnswer(Record):
    """What one model version said of a photograph."""

    grade: Grade
    name: str
    probabilities: list[float] = Field(min_length=5, max_length=5)
    confidence: float
    referable: bool
    vision_threatening: bool
    review_reasons: list[str]
    model: str
    model_version: str
    fingerprint: str
    predicted_at: datetime
    heatmap_url: str = Field(description=_ADDRESS)

    @classmethod
    def of(cls, said: Said, url: str) -> Self:
        """From a row."""
        taken = {name: _plain(getattr(said, name)) for name in cls.model_fields if hasattr(said, name)}
        return cls(name=grades.name(said.grade), predicted_at=said.created_at, heatmap_url=url, **taken)


class ScanAnswer(Record):
    """A scan: its grade and heatmap are the newest prediction's, null where no model graded it."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.SCAN]})
    id: Sha
    patient: UUID
    visit: str
    visit_type: str
    eye: str
    field: str
    camera: str | None
    captured_at: datetime | None = Field(description="As the file or its sender says.")
    registered_at: datetime
    state: Literal["registered", "scored", "ungradable", "quarantined"]
    reasons: list[str] = Field(description="Why it is ungradable or quarantined.")
    recapture: bool
    quality: float | None
    grade: Grade | None
    name: str | None
    confidence: float | None
    model_version: str | None
    capture_url: str = Field(description=_ADDRESS)
    heatmap_url: str | None = Field(description=_ADDRESS)
    prediction: PredictionAnswer | None
    earlier_predictions: list[PredictionAnswer] = Field(description="Of other model versions, the newest first.")
    reviews: list[ReviewAnswer] = Field(description="The oldest first; the newest counts.")
    macular_oedema: Literal["not assessed"] = "not assessed"

    @classmethod
    def of(cls, patient: UUID, scan: PastScan, capture_url: str, said: list[PredictionAnswer]) -> Self:
        """From rows; ``said`` the newest first."""
        newest = said[0] if said else None
        names = ("visit", "visit_type", "eye", "field", "camera", "captured_at", "registered_at", "state", "recapture")
        return cls(
            id=scan.sha256,
            patient=patient,
            reasons=list(scan.reasons),
            quality=scan.quality,
            grade=newest.grade if newest else None,
            name=newest.name if newest else None,
            confidence=newest.confidence if newest else None,
            model_version=newest.model_version if newest else None,
            capture_url=capture_url,
            heatmap_url=newest.heatmap_url if newest else None,
            prediction=newest,
            earlier_predictions=said[1:],
            reviews=[ReviewAnswer.of(one) for one in scan.reviews],
            **{name: getattr(scan, name) for name in names},
        )


class ScanDetail(ScanAnswer):
    """A scan with what stands of its visit."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.SCAN_DETAIL]})
    outcome: OutcomeAnswer | None = Field(description="Of the visit.")
    statement: str = STATEMENT


class Scans(Record):
    """A page of a patient's scans, the newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.SCANS]})
    scans: list[ScanAnswer]
    following: str | None = Field(description="The cursor of the next page; null at the end.")
    statement: str = STATEMENT


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
    comment: Annotated[str, StringConstraints(max_length=4000, pattern=r"^[^\x00]*$")] | None = None


class Reviewed(Record):
    """What a review led to."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.REVIEWED]})
    scan: Sha
    review: ReviewAnswer
    outcome: OutcomeAnswer = Field(description="Of the visit, joined again.")
    closed: bool = Field(description="People have read all that the visit needed people for: it is off the worklist.")


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
                **{name: _plain(getattr(entry, name)) for name in cls.model_fields if name not in own},
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


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _result(said: str | None) -> Any:
    return said
