"""Everything that is known of a patient, visit by visit, the newest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from clarity.storage import reviews
from clarity.storage.reviews import Review
from clarity.storage.tables import Outcome, Patient, Prediction, Scan
from clarity.storage.visits import visited_on


@dataclass(frozen=True, slots=True)
class Said:
    """What one model version said of a capture."""

    model: str
    model_version: str
    fingerprint: str
    precision: str
    grade: int
    probabilities: tuple[float, ...]
    confidence: float
    referable: bool
    referable_probability: float
    vision_threatening: bool
    vision_threatening_probability: float
    review_reasons: tuple[str, ...]
    energy: float | None
    heatmap_key: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class PastScan:
    """A capture with all that models and people said of it."""

    sha256: str
    key: str
    eye: str
    field: str
    visit: str
    visit_type: str
    camera: str | None
    captured_at: datetime | None
    registered_at: datetime
    state: str
    reasons: tuple[str, ...]
    recapture: bool
    quality: float | None
    predictions: tuple[Said, ...]
    """The newest first."""
    reviews: tuple[Review, ...]
    """The oldest first."""


@dataclass(frozen=True, slots=True)
class Joined:
    """An outcome of the visit under one model version."""

    model: str
    model_version: str
    result: str
    reasons: tuple[str, ...]
    policy: str
    action: str
    not_derivable: tuple[str, ...]
    due_on: date | None
    priority: int
    worst_grade: int | None
    left_grade: int | None
    right_grade: int | None
    macular_oedema: str
    superseded: bool
    reviewed_at: datetime | None


@dataclass(frozen=True, slots=True)
class PastVisit:
    """An encounter."""

    visit: str
    visited_on: date | None
    scans: tuple[PastScan, ...]
    outcomes: tuple[Joined, ...]
    """The one that stands first, then by age."""


def of(session: Session, patient: str) -> list[PastVisit] | None:
    """The history of a patient by pseudonymous id, the newest visit first; None where there is no such patient.

    Five queries by index, however many patients there are: patient, scans, outcomes, predictions, reviews.
    """
    known = session.scalar(select(Patient.id).where(Patient.external_id == patient))
    return None if known is None else visits(session, known)


def visits(session: Session, patient_id: int) -> list[PastVisit]:
    """The same by the number of the patient's row."""
    scans = list(session.scalars(select(Scan).where(Scan.patient_id == patient_id).order_by(Scan.visit, Scan.sha256)))
    outcomes = list(session.scalars(select(Outcome).where(Outcome.patient_id == patient_id)))
    by_visit: dict[str, list[PastScan]] = {outcome.visit: [] for outcome in outcomes}
    for known_scan in past(session, scans):
        by_visit.setdefault(known_scan.visit, []).append(known_scan)
    found = [_visit(name, scans_of, outcomes) for name, scans_of in by_visit.items()]
    return sorted(found, key=lambda one: (one.visited_on or date.min, one.visit), reverse=True)


def past(session: Session, scans: Sequence[Scan]) -> list[PastScan]:
    """These scans with all that models and people said of them."""
    said = _predictions(session, [scan.sha256 for scan in scans])
    decided = reviews.of(session, [scan.sha256 for scan in scans])
    return [_scan(scan, said.get(scan.sha256, []), decided.get(scan.sha256, [])) for scan in scans]


def _predictions(session: Session, shas: Sequence[str]) -> dict[str, list[Prediction]]:
    found: dict[str, list[Prediction]] = {}
    chosen = select(Prediction).where(Prediction.sha256.in_(list(shas))).order_by(Prediction.id.desc())
    for prediction in session.scalars(chosen) if shas else ():
        found.setdefault(prediction.sha256, []).append(prediction)
    return found


def _visit(name: str, scans: Sequence[PastScan], outcomes: Sequence[Outcome]) -> PastVisit:
    day = visited_on(name, ((scan.captured_at, scan.registered_at) for scan in scans))
    own = sorted((one for one in outcomes if one.visit == name), key=lambda one: (one.superseded, -one.id))
    return PastVisit(name, day, tuple(scans), tuple(joined(one) for one in own))


def _scan(scan: Scan, said: Sequence[Prediction], decided: Sequence[Review]) -> PastScan:
    names = ("sha256", "key", "eye", "field", "visit", "visit_type", "camera", "state", "recapture", "quality")
    return PastScan(
        captured_at=scan.captured_at.astimezone(UTC) if scan.captured_at else None,
        registered_at=scan.registered_at.astimezone(UTC),
        reasons=tuple(scan.reasons),
        predictions=tuple(_said(prediction) for prediction in said),
        reviews=tuple(decided),
        **{name: getattr(scan, name) for name in names},
    )


def _said(told: Prediction) -> Said:
    names = [name for name in Said.__slots__ if name not in ("probabilities", "review_reasons")]
    return Said(
        probabilities=tuple(told.probabilities),
        review_reasons=tuple(told.review_reasons),
        **{name: getattr(told, name) for name in names},
    )


def joined(row: Outcome) -> Joined:
    """A row as a record."""
    names = [name for name in Joined.__slots__ if name not in ("reasons", "not_derivable")]
    return Joined(
        reasons=tuple(row.reasons),
        not_derivable=tuple(row.not_derivable),
        **{name: getattr(row, name) for name in names},
    )
