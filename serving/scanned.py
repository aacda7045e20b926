"""What the service answers of scans: what each model version said of one, and what people did."""

from datetime import datetime
from typing import Literal, Self
from uuid import UUID

from pydantic import ConfigDict, Field

from clarity import grades
from clarity.storage.history import PastScan, Said
from serving import examples
from serving.records import ADDRESS, Grade, OutcomeAnswer, Record, Sha, plain
from serving.reviewed import ReviewAnswer
from serving.schemas import STATEMENT


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
    heatmap_url: str = Field(description=ADDRESS)

    @classmethod
    def of(cls, said: Said, url: str) -> Self:
        """From a row."""
        taken = {name: plain(getattr(said, name)) for name in cls.model_fields if hasattr(said, name)}
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
    capture_url: str = Field(description=ADDRESS)
    heatmap_url: str | None = Field(description=ADDRESS)
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
