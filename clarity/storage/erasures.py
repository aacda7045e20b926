"""Taking patients out of the tables, by policy, and noting which objects are still to go. Again, it is harmless."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from clarity.storage.patients import find
from clarity.storage.quarantine import DISMISSED
from clarity.storage.tables import (
    Answered,
    Erasure,
    Identified,
    InboxObject,
    Lease,
    Outcome,
    Patient,
    Prediction,
    Quarantined,
    Review,
    Scan,
)

TOMBSTONE = f"{DISMISSED}: its patient was erased"
"""In the quarantine, of an inbox object: a folder that is synchronised again does not bring the patient back."""


@dataclass(frozen=True, slots=True)
class Record:
    """What there is of a patient, by what names it."""

    photographs: tuple[str, ...]
    """sha256."""
    captures: tuple[str, ...]
    """Keys of the object store, as the next two."""
    heatmaps: tuple[str, ...]
    inbox: tuple[tuple[str, str], ...]
    """Key and etag."""


def begin(session: Session, uid: UUID) -> tuple[Patient, Erasure | None]:
    """The patient, locked, so that no scan is added meanwhile, and an earlier erasure. Raises UnknownRecord.

    The claims of a night on the patient's scans go first, as a night locks them first: what it finds of them is dropped
    or waited for. Scans stay registered, and are claimed again.
    """
    patient, _ = find(session, uid)
    session.execute(delete(Lease).where(Lease.sha256.in_(select(Scan.sha256).where(Scan.patient_id == patient.id))))
    session.execute(select(Patient.id).where(Patient.id == patient.id).with_for_update())
    session.expire_all()
    return patient, session.get(Erasure, patient.id)


def record(session: Session, patient_id: int) -> Record:
    """What there is of a patient in the tables."""
    scans = session.execute(select(Scan.sha256, Scan.key).where(Scan.patient_id == patient_id)).all()
    shas = [row.sha256 for row in scans]
    overlays = session.scalars(select(Prediction.heatmap_key).where(Prediction.sha256.in_(shas)))
    inbox = session.execute(select(InboxObject.key, InboxObject.etag).where(InboxObject.sha256.in_(shas)))
    return Record(tuple(shas), tuple(row.key for row in scans), tuple(overlays), tuple(inbox.tuples()))


def note(
    session: Session,
    patient_id: int,
    policy: str,
    *,
    erased: Sequence[str],
    kept: Sequence[str],
    objects: Sequence[str],
) -> None:
    """Write that the patient is erased, and what is to go from the store; before ``remove``, which asks for it."""
    said = {"policy": policy, "erased": list(erased), "kept": list(kept)}
    statement = insert(Erasure).values(patient_id=patient_id, objects=sorted(set(objects)), **said)
    both = Erasure.objects.concat(statement.excluded.objects)  # what an earlier one could not delete yet, too
    session.execute(statement.on_conflict_do_update(index_elements=["patient_id"], set_={**said, "objects": both}))


def forget_who(session: Session, patient: Patient, new_id: str) -> None:
    """The identity, what it was searched by, and the clinic's id, also where a person's decision repeats it."""
    session.execute(delete(Identified).where(Identified.patient_id == patient.id))
    claims = Quarantined.claim["patient"].astext == patient.external_id
    _close(session, and_(claims, Quarantined.resolved_at.is_(None)))
    _quarantine(session, claims, claim={})
    told, instead = (f"patient {name}, " for name in (patient.external_id, new_id))
    says = func.strpos(Quarantined.resolution, told) > 0
    _quarantine(session, says, resolution=func.replace(Quarantined.resolution, told, instead))
    values = {"external_id": new_id, "erased_at": func.now(), "updated_at": func.now()}
    session.execute(update(Patient).where(Patient.id == patient.id).values(**values))


def remove(session: Session, patient_id: int, what: Record) -> None:
    """The clinical record. An erasure with the policy ``remove`` has been noted, or the reviews refuse to go."""
    shas = list(what.photographs)
    for table in (Review, Prediction, Lease, InboxObject):
        session.execute(delete(table).where(table.sha256.in_(shas)))
    session.execute(delete(Quarantined).where(Quarantined.key.in_(what.captures)))
    session.execute(delete(Outcome).where(Outcome.patient_id == patient_id))
    session.execute(delete(Scan).where(Scan.patient_id == patient_id))
    for sha in shas:  # of requests of the last day
        session.execute(delete(Answered).where(func.strpos(Answered.record, sha) > 0))
    _bury(session, what.inbox)


def pending(session: Session, *, limit: int = 100) -> list[UUID]:
    """Erased patients of whom something is left in the object store."""
    chosen = select(Patient.uid).join(Erasure, Erasure.patient_id == Patient.id)
    return list(session.scalars(chosen.where(func.jsonb_array_length(Erasure.objects) > 0).limit(limit)))


def still_to_go(session: Session, patient_id: int) -> list[str]:
    """Keys of objects."""
    return list(session.scalar(select(Erasure.objects).where(Erasure.patient_id == patient_id)) or ())


def gone(session: Session, patient_id: int, keys: Sequence[str]) -> None:
    """These objects have been deleted, or are somebody's again."""
    left = [key for key in still_to_go(session, patient_id) if key not in set(keys)]
    session.execute(update(Erasure).where(Erasure.patient_id == patient_id).values(objects=left))
    session.execute(delete(Quarantined).where(Quarantined.key.in_(keys), Quarantined.key.startswith("captures/")))


def in_use(session: Session, keys: Sequence[str]) -> set[str]:
    """Which of these objects a row points at: the photograph came back with another patient."""
    scans = select(Scan.key).where(Scan.key.in_(keys))
    overlays = select(Prediction.heatmap_key).where(Prediction.heatmap_key.in_(keys))
    return {*session.scalars(scans), *session.scalars(overlays)}


def _bury(session: Session, inbox: Sequence[tuple[str, str]]) -> None:
    if not inbox:
        return
    rest = {"kind": "object", "reason": "its patient was erased", "resolution": TOMBSTONE, "resolved_at": func.now()}
    statement = insert(Quarantined).values([{"key": key, "etag": etag} | rest for key, etag in sorted(inbox)])
    new = statement.excluded
    taken = {name: new[name] for name in ("kind", "reason", "resolution", "resolved_at", "claim", "sha256")}
    session.execute(statement.on_conflict_do_update(index_elements=["key", "etag"], set_=taken))


def _close(session: Session, which: ColumnElement[bool]) -> None:
    _quarantine(
        session, which, resolved_at=func.now(), resolution=f"{DISMISSED}: the patient that it claims was erased"
    )


def _quarantine(session: Session, which: ColumnElement[bool], **values: object) -> None:
    session.execute(update(Quarantined).where(which).values(**values).execution_options(synchronize_session=False))
