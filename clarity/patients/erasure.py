"""Erasing a patient, by policy: who it was, always; the clinical record too, where the policy says ``remove``.

Rows first, in one transaction that also notes which objects have to go; then the objects. Where the store is away, the
rows are gone, the objects are noted, and the same call again goes on.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from clarity.patients.person import ERASED
from clarity.storage import database, erasures, lock
from clarity.storage.erasures import Record
from clarity.storage.objects import Objects
from clarity.storage.patients import find

PSEUDONYMISE, REMOVE = "pseudonymise", "remove"
_TOGETHER = 100
"""Objects that are deleted while those who keep photographs wait."""
_WHO = "name, birth date or age, e-mail, telephone, medical history, and the hashes they were searched by"
_LOG = "the access log, which names the patient by this id alone"


@dataclass(frozen=True, slots=True)
class Done:
    """What was done, in sentences."""

    uid: UUID
    erased_at: datetime
    policy: str
    erased: tuple[str, ...]
    kept: tuple[str, ...]


def erase(engine: Engine, objects: Callable[[], Objects], uid: UUID, policy: str) -> Done:
    """Erase a patient; again, it finishes what is left, and does more where the policy has become stricter.

    ``objects`` is called where something of the patient lies in the store. Raises UnknownRecord, StorageError; after
    StorageUnavailable of the store the patient is erased and objects are left, see ``finish``.
    """
    with database.session(engine) as session:
        patient, earlier = erasures.begin(session, uid)
        found = erasures.record(session, patient.id)
        if earlier is None or (policy == REMOVE and (earlier.policy != REMOVE or found.photographs)):
            _erase(session, uid, policy, found)
    finish(engine, objects, uid)
    with database.session(engine) as session:
        patient, earlier = erasures.begin(session, uid)
        assert earlier is not None and patient.erased_at is not None  # noqa: S101 - what was committed above
        at = patient.erased_at.astimezone(UTC)
        return Done(uid, at, earlier.policy, tuple(earlier.erased), tuple(earlier.kept))


def finish(engine: Engine, objects: Callable[[], Objects], uid: UUID) -> int:
    """Delete what of an erased patient is left in the store. How many objects. Raises UnknownRecord, StorageError."""
    done = 0
    while True:
        with database.session(engine) as session:
            patient, _ = find(session, uid)
            some = erasures.still_to_go(session, patient.id)[:_TOGETHER]
            if not some:
                return done
            lock.sweeping(session)  # nobody is between an object and its row: what has none now, nobody needs
            needed = erasures.in_use(session, some)
            for key in some:
                if key not in needed:
                    objects().delete(key)
            erasures.gone(session, patient.id, some)
            done += len(some)


def _erase(session: Session, uid: UUID, policy: str, found: Record) -> None:
    patient, _ = find(session, uid)
    named = patient.erased_at is None and patient.external_id != str(uid)
    sidecars = [f"{key}.json" for key, _ in found.inbox]
    photographs = [*found.captures, *found.heatmaps, *(key for key, _ in found.inbox)] if policy == REMOVE else []
    erasures.note(
        session,
        patient.id,
        policy,
        erased=list(_erased(found, policy, named=named)),
        kept=list(_kept(found, policy, named=named)),
        objects=[*sidecars, *photographs],
    )
    if patient.erased_at is None:
        erasures.forget_who(session, patient, f"{ERASED}{uid}")
    if policy == REMOVE:
        erasures.remove(session, patient.id, found)


def _erased(found: Record, policy: str, *, named: bool) -> Iterator[str]:
    yield _WHO
    if named:
        yield "the external id, also where the quarantine or a decision of a person repeated it"
    if found.inbox:
        yield f"sidecars of {_count(found.inbox, 'inbox object')}"
    if policy == REMOVE and found.photographs:
        yield f"{_count(found.photographs, 'scan')} with every prediction, outcome and review"
        yield "the photographs and heatmaps of them in the object store" + (", the inbox too" if found.inbox else "")


def _kept(found: Record, policy: str, *, named: bool) -> Iterator[str]:
    yield _LOG
    if policy == REMOVE:
        if found.inbox:
            yield "names and etags of inbox objects, so that a folder that is synchronised again brings nobody back"
    elif found.photographs:
        yield f"{_count(found.photographs, 'scan')} with photographs, predictions, outcomes and reviews, pseudonymous"
        dicom = [key for key in found.captures if key.endswith(".dcm")]
        if dicom:
            yield f"{_count(dicom, 'DICOM file')} as the camera wrote them: their own tags may name the patient"
        if found.inbox:
            yield "the photographs in the inbox, which are the clinic's, under the names that it gave them"
    if found.inbox:
        yield "manifest.csv files of the inbox: they name other patients too, and are the clinic's to change"
    if named:
        yield "nothing that ties the external id to this one: what comes under it later becomes another patient"


def _count(some: Sequence[object], word: str) -> str:
    return f"{len(some)} {word}{'' if len(some) == 1 else 's'}"
