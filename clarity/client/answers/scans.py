"""Scans, the visits that they belong to, and what people said of them."""

import dataclasses
from dataclasses import dataclass
from datetime import date, datetime

from clarity.client.reading import Answer


@dataclass(frozen=True)
class Outcome(Answer):
    """The joined result of a visit so far: refer, review, incomplete or no referral."""

    result: str
    action: str = ""
    reasons: tuple[str, ...] = ()
    policy: str = ""
    not_derivable: tuple[str, ...] = ()
    due_on: date | None = None
    priority: int | None = None
    worst_grade: int | None = None
    left_grade: int | None = None
    right_grade: int | None = None
    macular_oedema: str = "not assessed"
    model: str = ""
    model_version: str = ""
    reviewed_at: datetime | None = None


@dataclass(frozen=True)
class ScanPrediction(Answer):
    """What one model version said of a scan."""

    grade: int
    model: str
    model_version: str
    name: str = ""
    probabilities: tuple[float, ...] = ()
    confidence: float | None = None
    referable: bool | None = None
    vision_threatening: bool | None = None
    review_reasons: tuple[str, ...] = ()
    fingerprint: str = ""
    predicted_at: datetime | None = None
    heatmap_url: str | None = dataclasses.field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Review(Answer):
    """A person's decision about a scan: agree, grade or ungradable."""

    decision: str
    reviewer: str = ""
    grade: int | None = None
    comment: str | None = None
    at: datetime | None = None


@dataclass(frozen=True)
class Scan(Answer):
    """One photograph of one eye; the id is its sha256. Grade and heatmap are the newest prediction's."""

    id: str
    patient: str
    state: str
    visit: str = ""
    visit_type: str = ""
    eye: str = "unknown"
    field: str = "unknown"
    camera: str | None = None
    captured_at: datetime | None = None
    registered_at: datetime | None = None
    reasons: tuple[str, ...] = ()
    recapture: bool = False
    quality: float | None = None
    grade: int | None = None
    name: str | None = None
    confidence: float | None = None
    model_version: str | None = None
    capture_url: str | None = dataclasses.field(default=None, repr=False, compare=False)
    heatmap_url: str | None = dataclasses.field(default=None, repr=False, compare=False)
    prediction: ScanPrediction | None = None
    earlier_predictions: tuple[ScanPrediction, ...] = ()
    reviews: tuple[Review, ...] = ()
    macular_oedema: str = "not assessed"
    outcome: Outcome | None = None


@dataclass(frozen=True)
class EyeChanged(Answer):
    """One eye since the visit before: better, worse, same or not comparable."""

    eye: str
    verdict: str
    before: int | None = None
    now: int | None = None


@dataclass(frozen=True)
class Since(Answer):
    """What changed since the visit before."""

    visit: str
    visited_on: date | None = None
    eyes: tuple[EyeChanged, ...] = ()
    result_before: str | None = None
    result_now: str | None = None
    same_model: bool | None = None


@dataclass(frozen=True)
class Visit(Answer):
    """An encounter."""

    visit: str
    visited_on: date | None = None
    outcome: Outcome | None = None
    earlier_outcomes: tuple[Outcome, ...] = ()
    since: Since | None = None
    scans: tuple[Scan, ...] = ()


@dataclass(frozen=True)
class History(Answer):
    """All that is known of a patient's eyes, the newest visit first."""

    patient: str
    visits: tuple[Visit, ...] = ()
    statement: str = ""


@dataclass(frozen=True)
class Reviewed(Answer):
    """What a review led to; ``closed``: the visit is off the worklist."""

    scan: str
    closed: bool
    review: Review | None = None
    outcome: Outcome | None = None
