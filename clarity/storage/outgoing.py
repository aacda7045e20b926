"""Outcomes on their way out: a row a visit, in one consistent picture of the database, few of them in memory."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime

from sqlalchemy import Select, select, tuple_
from sqlalchemy.orm import Session

from clarity.storage import reviews
from clarity.storage.tables import Outcome, Patient, Scan
from clarity.storage.visits import visited_on

_TOGETHER = 500
"""Rows fetched at once from the server's cursor, and so the most that are in memory."""
GOOD, NOT_GRADABLE, MISSING, WAITING = "good", "not gradable", "missing", "waiting"


@dataclass(frozen=True, slots=True)
class EyeSeen:
    """What there is of an eye."""

    grade: int | None
    quality: str
    """"good" where something was graded, "not gradable", "missing", or "waiting" for a model."""
    reasons: tuple[str, ...]
    """Why there is no grade."""
    captures: int


@dataclass(frozen=True, slots=True)
class VisitRow:
    """The outcome of a visit under one model version, with what stands behind it."""

    id: int
    patient: str
    visit: str
    visited_on: date | None
    result: str
    reasons: tuple[str, ...]
    policy: str
    action: str
    not_derivable: tuple[str, ...]
    due_on: date | None
    priority: int
    worst_grade: int | None
    left: EyeSeen
    right: EyeSeen
    macular_oedema: str
    model: str
    model_version: str
    superseded: bool
    reviewed_at: datetime | None
    reviewers: tuple[str, ...]
    """Pseudonymous ids of who read captures of it."""
    updated_at: datetime


def stream(
    session: Session, *, since: datetime | None = None, model_version: str | None = None
) -> Generator[VisitRow, None, None]:
    """Outcomes written, reviewed or brought forward since then, by age: those that stand, or all of one version.

    The rows come from a cursor of the server, in a snapshot of their own transaction: the session must be fresh, and
    who does not read to the end closes the generator before it.
    """
    session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    with closing(session.execute(_chosen(since, model_version), execution_options={"yield_per": _TOGETHER})) as found:
        for rows in found.partitions():
            yield from _rows(session, [(outcome, name) for outcome, name in rows])


def _chosen(since: datetime | None, model_version: str | None) -> Select[tuple[Outcome, str]]:
    chosen = select(Outcome, Patient.external_id).join(Patient, Patient.id == Outcome.patient_id)
    if model_version is None:
        chosen = chosen.where(~Outcome.superseded)
    else:
        chosen = chosen.where(Outcome.model_version == model_version)
    if since is not None:
        chosen = chosen.where(Outcome.updated_at >= since)
    return chosen.order_by(Outcome.id)


def _rows(session: Session, found: Sequence[tuple[Outcome, str]]) -> Iterator[VisitRow]:
    scans: dict[tuple[int, str], list[Scan]] = {}
    visits = sorted({(outcome.patient_id, outcome.visit) for outcome, _ in found})
    of_visits = select(Scan).where(tuple_(Scan.patient_id, Scan.visit).in_(visits)).order_by(Scan.sha256)
    for scan in session.scalars(of_visits):
        scans.setdefault((scan.patient_id, scan.visit), []).append(scan)
    read = reviews.of(session, [scan.sha256 for of_visit in scans.values() for scan in of_visit])
    for outcome, patient in found:
        own = scans.get((outcome.patient_id, outcome.visit), [])
        people = {review.reviewer for scan in own for review in read.get(scan.sha256, [])}
        yield _row(outcome, patient, own, sorted(people))


def _row(row: Outcome, patient: str, scans: Sequence[Scan], people: Sequence[str]) -> VisitRow:
    names = ("id", "visit", "result", "policy", "action", "due_on", "priority", "worst_grade")
    also = ("macular_oedema", "model", "model_version", "superseded")
    return VisitRow(
        patient=patient,
        visited_on=visited_on(row.visit, ((scan.captured_at, scan.registered_at) for scan in scans)),
        reasons=tuple(row.reasons),
        not_derivable=tuple(row.not_derivable),
        left=_eye(row.left_grade, [scan for scan in scans if scan.eye == "left"]),
        right=_eye(row.right_grade, [scan for scan in scans if scan.eye == "right"]),
        reviewed_at=row.reviewed_at.astimezone(UTC) if row.reviewed_at else None,
        reviewers=tuple(people) if row.reviewed_at else (),
        updated_at=row.updated_at.astimezone(UTC),
        **{name: getattr(row, name) for name in (*names, *also)},
    )


def _eye(grade: int | None, scans: Sequence[Scan]) -> EyeSeen:
    if grade is not None:
        return EyeSeen(grade, GOOD, (), len(scans))
    states = {scan.state for scan in scans}
    said = tuple(sorted({reason for scan in scans for reason in scan.reasons}))
    if "registered" in states:
        return EyeSeen(None, WAITING, said, len(scans))
    if states & {"ungradable", "scored"}:  # scored, and a person cannot grade it
        return EyeSeen(None, NOT_GRADABLE, said or ("a person cannot grade it",), len(scans))
    return EyeSeen(None, MISSING, said or ("no capture",), len(scans))
