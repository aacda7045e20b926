"""Whose a scan is, looked up and changed by a person's decision.

A prediction is of pixels and stays. What was concluded for a patient from another's photograph does not: every scan of
the visit that it left, and the scan itself, wait again, so that the next night joins both visits' outcomes anew; a
visit that has no photograph left is made incomplete at once, for a person to see.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from clarity.storage.scans import Visit
from clarity.storage.tables import Outcome, Patient, Scan

NONE_LEFT = "no photograph of this visit is left: a person moved them to another patient or visit"
_INCOMPLETE = 3
"""Place in the worklist."""


@dataclass(frozen=True, slots=True)
class Custody:
    """Whose scan it is."""

    patient: str
    """Pseudonymous id."""
    eye: str
    visit: str


def holders(session: Session, shas: Sequence[str]) -> dict[str, Custody]:
    """Who has these scans; unknown ones are left out."""
    found = session.execute(
        select(Scan.sha256, Patient.external_id, Scan.eye, Scan.visit).join(Patient).where(Scan.sha256.in_(list(shas)))
    )
    return {row.sha256: Custody(row.external_id, row.eye, row.visit) for row in found}


def move(session: Session, sha: str, to: Custody) -> None:
    """Give a scan to another patient, eye or visit; it waits again, and so do those of the visit that it left.

    Again, it changes nothing. The caller holds the lock of the night.
    """
    session.execute(insert(Patient).values(external_id=to.patient).on_conflict_do_nothing())
    scan = session.scalars(select(Scan).where(Scan.sha256 == sha)).one()
    chosen = select(Patient).where(or_(Patient.external_id == to.patient, Patient.id == scan.patient_id))
    patients = session.scalars(chosen.order_by(Patient.id).with_for_update()).all()
    new = next(patient.id for patient in patients if patient.external_id == to.patient)
    left, came = (scan.patient_id, scan.visit), (new, to.visit)
    if (left, scan.eye) == (came, to.eye):
        return
    session.execute(update(Scan).where(Scan.sha256 == sha).values(patient_id=new, eye=to.eye, visit=to.visit))
    _wait(session, Scan.sha256 == sha)
    if left != came:
        _wait(session, Scan.patient_id == left[0], Scan.visit == left[1])
        _empty(session, left)


def _wait(session: Session, *which: object) -> None:
    session.execute(
        update(Scan)
        .where(*which)  # type: ignore[arg-type]
        .values(state="registered", reasons=[], recapture=False, state_at=func.now())
        .execution_options(synchronize_session=False)
    )


def _empty(session: Session, visit: Visit) -> None:
    """What was said of a visit without a photograph is taken back."""
    left = select(Scan.id).where(Scan.patient_id == visit[0], Scan.visit == visit[1])
    session.execute(
        update(Outcome)
        .where(Outcome.patient_id == visit[0], Outcome.visit == visit[1], ~left.exists())
        .values(
            result="incomplete",
            reasons=[NONE_LEFT],
            worst_grade=None,
            left_grade=None,
            right_grade=None,
            not_derivable=[],
            priority=_INCOMPLETE,
            reviewed_at=None,
            updated_at=func.now(),
        )
        .execution_options(synchronize_session=False)
    )
