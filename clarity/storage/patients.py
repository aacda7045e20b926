"""Rows of patients and of who they are. What is sealed here stays sealed; what is searched by are keyed hashes."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, Text, and_, cast, func, or_, select, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from clarity.errors import ParameterError, UnknownRecord
from clarity.storage.tables import Identified, Patient

Row = tuple[Patient, Identified | None]


@dataclass(frozen=True, slots=True)
class Tokens:
    """A patient has one token of each group, and of ``either`` all groups of one alternative."""

    groups: Sequence[frozenset[str]] = ()
    either: Sequence[Sequence[frozenset[str]]] = ()

    def __bool__(self) -> bool:
        return bool(self.groups or self.either)


def add(session: Session, uid: UUID, external_id: str) -> Patient | None:
    """A new patient; None where the external id is another's."""
    statement = insert(Patient).values(uid=uid, external_id=external_id)
    made = statement.on_conflict_do_nothing(index_elements=["external_id"]).returning(Patient)
    return session.scalars(made).one_or_none()


def find(session: Session, uid: UUID, *, locked: bool = False) -> Row:
    """A patient, and who it is where that is known. ``locked``: until the transaction ends. Raises UnknownRecord."""
    chosen = select(Patient).where(Patient.uid == uid)
    patient = session.scalar(chosen.with_for_update(key_share=True) if locked else chosen)
    if patient is None:
        raise UnknownRecord(f"patient {uid}: there is none of that id")
    return patient, session.scalar(select(Identified).where(Identified.patient_id == patient.id))


def seal(session: Session, patient_id: int, key_id: str, sealed: bytes, tokens: Sequence[str]) -> None:
    """Write who a patient is, over what was known."""
    statement = insert(Identified).values(patient_id=patient_id, key_id=key_id, sealed=sealed, tokens=list(tokens))
    new = statement.excluded
    values = {name: new[name] for name in ("key_id", "sealed", "tokens")}
    session.execute(
        statement.on_conflict_do_update(index_elements=["patient_id"], set_=values | {"updated_at": func.now()})
    )


def rename(session: Session, patient_id: int, external_id: str) -> bool:
    """Another external id; False where it is another patient's."""
    try:
        with session.begin_nested():
            session.execute(update(Patient).where(Patient.id == patient_id).values(external_id=external_id))
    except IntegrityError:
        return False
    return True


def touch(session: Session, patient_id: int) -> None:
    """Note that something was changed."""
    session.execute(update(Patient).where(Patient.id == patient_id).values(updated_at=func.now()))


def page(
    session: Session, tokens: Tokens, *, external_id: str | None = None, after: UUID | None = None, limit: int = 50
) -> tuple[list[Row], UUID | None]:
    """Patients who are not erased, the newest first, and the id to go on behind; None at the end.

    ``after``: of the last patient of the page before; its row's number, which would tell how many there are, stays
    here. Raises ParameterError where there is no such patient.
    """
    chosen = select(Patient, Identified).outerjoin(Identified, Identified.patient_id == Patient.id)
    chosen = chosen.where(Patient.erased_at.is_(None), *_conditions(tokens))
    if external_id is not None:
        chosen = chosen.where(Patient.external_id == external_id)
    if after is not None:
        last = session.scalar(select(Patient.id).where(Patient.uid == after))
        if last is None:
            raise ParameterError("cursor: not one that a page of patients gave")
        chosen = chosen.where(Patient.id < last)
    rows: list[Row] = [
        (patient, who) for patient, who in session.execute(chosen.order_by(Patient.id.desc()).limit(limit + 1))
    ]
    return rows[:limit], rows[limit - 1][0].uid if len(rows) > limit else None


def sealed_by_others(session: Session, key_id: str, *, limit: int) -> list[tuple[Identified, UUID]]:
    """Identities that another key has sealed, with their patients' ids, locked; those that somebody has, left out."""
    chosen = select(Identified, Patient.uid).join(Patient, Patient.id == Identified.patient_id)
    chosen = chosen.where(Identified.key_id != key_id).order_by(Identified.patient_id).limit(limit)
    return [(who, uid) for who, uid in session.execute(chosen.with_for_update(of=Identified, skip_locked=True))]


def count_sealed_by_others(session: Session, key_id: str) -> dict[str, int]:
    """How many identities each other key has sealed."""
    counted = select(Identified.key_id, func.count()).where(Identified.key_id != key_id).group_by(Identified.key_id)
    return dict(session.execute(counted).tuples().all())


def _conditions(tokens: Tokens) -> list[ColumnElement[bool]]:
    found = [_any(group) for group in tokens.groups]
    if tokens.either:
        found.append(or_(*(and_(*map(_any, alternative)) for alternative in tokens.either)))
    return found


def _any(group: frozenset[str]) -> ColumnElement[bool]:
    """One of these tokens, by the index."""
    return Identified.tokens.has_any(cast(sorted(group), ARRAY(Text)))  # type: ignore[no-any-return]
