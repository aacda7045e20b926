"""Patients as the service knows them: made, changed, read, searched. Sealed before a row, opened after it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from clarity.errors import Erased, PatientExists
from clarity.patients.cipher import Cipher, Sealed
from clarity.patients.keyring import Keys
from clarity.patients.person import Person, check_external_id
from clarity.patients.search import Index, Wanted
from clarity.settings import Settings
from clarity.storage import database
from clarity.storage import patients as rows
from clarity.storage.patients import Row, Tokens

Remember = Callable[[Session, str], str | None]
"""In the transaction of the effect: None where the request is new and stands for this record, else that it made."""


@dataclass(frozen=True, slots=True)
class Known:
    """A patient. Its repr shows ids."""

    uid: UUID
    external_id: str | None
    """None where the clinic gave none."""
    person: Person | None
    """None where nothing is known, as of who came by the nightly inbox."""
    created_at: datetime
    updated_at: datetime
    erased_at: datetime | None


@dataclass(frozen=True, slots=True)
class Page:
    """Some patients, the newest first, and the id to go on behind; None at the end."""

    patients: tuple[Known, ...]
    following: UUID | None


class Register:
    """The patients of one database, with the keys of the environment."""

    def __init__(self, engine: Engine, keys: Keys, index: Index) -> None:
        self._engine, self._cipher, self.index = engine, Cipher(keys), index

    @classmethod
    def of(cls, engine: Engine, settings: Settings) -> "Register":
        """Raises SettingsError where a key is not set, SealError where one is malformed."""
        keys = Keys.parse(settings.need("identity_keys"))
        return cls(engine, keys, Index.of(settings.need("search_key")))

    def create(
        self, said: Mapping[str, Any], external_id: str | None = None, *, remember: Remember | None = None
    ) -> Known:
        """A new patient of whom this is ``said``, by fields of Person.

        ``remember`` makes of the same request the same patient. Raises PatientError, PatientExists (an external id that
        is another's), IdempotencyConflict, Erased (the request made a patient who was erased since), StorageError.
        """
        person = Person().with_changes(dict(said), _today())
        if external_id is not None:
            check_external_id(external_id)
        uid = uuid4()
        with database.session(self._engine) as session:
            earlier = remember(session, str(uid)) if remember else None
            if earlier is not None:
                return _unless_erased(self._known(rows.find(session, UUID(earlier))))
            made = rows.add(session, uid, external_id or str(uid))
            if made is None:
                raise PatientExists("external_id: is another patient's; who may read finds it by external_id")
            if not person.nobody:
                self._seal(session, made.id, uid, person)
            return self._known(rows.find(session, uid))

    def get(self, uid: UUID) -> Known:
        """Raises UnknownRecord, SealError, StorageError."""
        with database.session(self._engine) as session:
            return self._known(rows.find(session, uid))

    def update(self, uid: UUID, changes: Mapping[str, Any]) -> Known:
        """Fields of Person, and ``external_id``: a value takes the place of what was, None takes it away.

        Raises UnknownRecord, Erased, PatientError, PatientExists, SealError, StorageError.
        """
        said = dict(changes)
        if said.get("external_id") is not None:
            check_external_id(said["external_id"])
        with database.session(self._engine) as session:
            patient, who = rows.find(session, uid, locked=True)
            known = _unless_erased(self._known((patient, who)))
            if not said:
                return known
            if "external_id" in said:
                self._rename(session, patient.id, uid, said.pop("external_id"))
            if said:
                self._seal(session, patient.id, uid, (known.person or Person()).with_changes(said, _today()))
            rows.touch(session, patient.id)
            session.expire_all()
            return self._known(rows.find(session, uid))

    def page(self, wanted: Wanted, *, after: UUID | None = None, limit: int = 50) -> Page:
        """Patients who are all that is wanted; all patients where nothing is. The erased are not among them.

        Raises ParameterError (a cursor that is none), SealError, StorageError.
        """
        query = self.index.query(wanted)
        if query.impossible:
            return Page((), None)
        either = (query.name, (query.whole,)) if query.name else ()
        with database.session(self._engine) as session:
            found, following = rows.page(
                session, Tokens(query.groups, either), external_id=wanted.external_id, after=after, limit=limit
            )
            return Page(tuple(self._known(row) for row in found), following)

    def _rename(self, session: Session, patient_id: int, uid: UUID, external_id: str | None) -> None:
        if not rows.rename(session, patient_id, external_id or str(uid)):
            raise PatientExists("external_id: is another patient's")

    def _seal(self, session: Session, patient_id: int, uid: UUID, person: Person) -> None:
        sealed = self._cipher.seal(person.document(), uid)
        rows.seal(session, patient_id, sealed.key_id, sealed.data, self.index.tokens(person))

    def _known(self, row: Row) -> Known:
        patient, who = row
        person = None
        if who is not None:
            found = Person.of_document(self._cipher.open(Sealed(who.key_id, who.sealed), patient.uid))
            person = None if found.nobody else found
        own = patient.external_id != str(patient.uid) and patient.erased_at is None
        return Known(
            patient.uid,
            patient.external_id if own else None,
            person,
            patient.created_at.astimezone(UTC),
            patient.updated_at.astimezone(UTC),
            patient.erased_at.astimezone(UTC) if patient.erased_at else None,
        )


def _unless_erased(known: Known) -> Known:
    if known.erased_at is not None:
        raise Erased(f"patient {known.uid}: erased on {known.erased_at:%Y-%m-%d}, nothing can be added or changed")
    return known


def _today() -> date:
    return datetime.now(UTC).date()
