"""Scans as the online service shows them: whose, with all that was said, and what stands of their visit."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from clarity.errors import ParameterError, UnknownRecord
from clarity.storage import history
from clarity.storage.history import Joined, PastScan
from clarity.storage.tables import Outcome, Patient, Scan


@dataclass(frozen=True, slots=True)
class Known:
    """A scan of a patient."""

    patient: UUID
    scan: PastScan
    outcome: Joined | None
    """The one of its visit that stands; None where nothing is joined yet."""


def patient(session: Session, uid: UUID) -> Patient:
    """Raises UnknownRecord."""
    found = session.scalar(select(Patient).where(Patient.uid == uid))
    if found is None:
        raise UnknownRecord(f"patient {uid}: there is none of that id")
    return found


def scan(session: Session, sha256: str) -> Known:
    """Raises UnknownRecord."""
    found = scans(session, [sha256]).get(sha256)
    if found is None:
        raise UnknownRecord(f"scan {sha256[:12]}…: there is none of that id")
    return found


def scans(session: Session, shas: Sequence[str]) -> dict[str, Known]:
    """These scans by their sha256; unknown ones are left out."""
    return {one.scan.sha256: one for one in _known(session, _rows(session, shas))}


def page(session: Session, owner: Patient, *, after: str | None, limit: int) -> tuple[list[Known], str | None]:
    """A patient's scans, the newest first, and the cursor of what follows; None at the end.

    The cursor is the last scan's sha256: what is added meanwhile shifts nothing. Raises ParameterError for another.
    """
    chosen = select(Scan).where(Scan.patient_id == owner.id)
    if after is not None:
        last = session.scalar(select(Scan.id).where(Scan.patient_id == owner.id, Scan.sha256 == after))
        if last is None:
            raise ParameterError(f"cursor of {len(after)} characters: not one that a page of this patient's scans gave")
        chosen = chosen.where(Scan.id < last)
    rows = list(session.scalars(chosen.order_by(Scan.id.desc()).limit(limit + 1)))
    shown = rows[:limit]
    return _known(session, shown), shown[-1].sha256 if len(rows) > limit else None


def _rows(session: Session, shas: Sequence[str]) -> list[Scan]:
    return list(session.scalars(select(Scan).where(Scan.sha256.in_(list(shas))))) if shas else []


def _known(session: Session, rows: Sequence[Scan]) -> list[Known]:
    """Five queries, however many scans there are."""
    if not rows:
        return []
    owners = select(Patient.id, Patient.uid).where(Patient.id.in_({row.patient_id for row in rows}))
    uids = {row.id: row.uid for row in session.execute(owners)}
    visits = {(row.patient_id, row.visit) for row in rows}
    joined = select(Outcome).where(tuple_(Outcome.patient_id, Outcome.visit).in_(visits), ~Outcome.superseded)
    standing = {(one.patient_id, one.visit): one for one in session.scalars(joined.order_by(Outcome.id))}
    found: list[Known] = []
    for row, past in zip(rows, history.past(session, rows), strict=True):
        outcome = standing.get((row.patient_id, row.visit))
        found.append(Known(uids[row.patient_id], past, history.joined(outcome) if outcome else None))
    return found
