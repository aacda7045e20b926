"""What a person decides about an object in quarantine: whose it is, that it is nobody's, or who has it.

Who decided, what, and when is kept with the row. A decision and its rows are one transaction.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from clarity.errors import InboxError
from clarity.records import Capture
from clarity.screening import claims, inbox
from clarity.screening.attribution import Attributions
from clarity.screening.inbox import Found
from clarity.storage import custody, database, quarantine, scans
from clarity.storage.custody import Custody
from clarity.storage.lock import NightLock
from clarity.storage.objects import Entry, Objects
from clarity.storage.quarantine import Refused
from clarity.storage.tables import Quarantined


@dataclass(frozen=True, slots=True)
class Decided:
    """What was done."""

    key: str
    resolution: str


def attribute(
    objects: Objects, engine: Engine, number: int, said: Mapping[str, str], *, by: str, max_bytes: int
) -> Decided:
    """Register an object as this patient's and eye's, now: the next night scores it. Nothing contradicts a person.

    ``said``: patient, eye, and visit or captured_at unless the file has its time; field, visit_type. Raises InboxError
    where there is no such open row, the object is gone or another by now, or what is said cannot be; StorageError.
    """
    with database.session(engine) as session:
        row = _open(session, number)
        if row.key.startswith("captures/"):
            raise InboxError(f"quarantine {number}: its patient is known, it cannot be read; only --dismiss closes it")
        key, etag = row.key, row.etag
    entry = _entry(objects, key)
    if entry is None or entry.etag != etag:
        raise InboxError(
            f"quarantine {number}: its object is {'gone' if entry is None else 'another'} by now; the next night looks "
            "at the inbox again, --dismiss closes this row"
        )
    attributions = Attributions(objects, now=datetime.now(UTC), person=said)
    found = Found(key, etag, entry.size, -1, seen=True)
    read = next(inbox.read(objects, [found], attributions, max_bytes=max_bytes), None)
    if read is None or not isinstance(read.result, Capture):
        why = read.result.reason if read is not None and isinstance(read.result, Refused) else "its object is gone"
        raise InboxError(f"quarantine {number}: {why}")
    with database.session(engine) as session:
        _open(session, number)
        done = inbox.write(session, [read], None)
        if done.registered:
            told = Custody(read.result.patient, str(read.result.eye), read.result.visit)
            return _close(session, number, key, f"attributed by {by}: {_shown(told)}")
    raise InboxError(f"quarantine {number}: the photograph is already another's; decide with --keep or --to")


def dismiss(engine: Engine, number: int, *, by: str) -> Decided:
    """Close a row for good: the same content under the same name is not looked at again. Raises InboxError."""
    with database.session(engine) as session:
        row = _open(session, number)
        return _close(session, number, row.key, f"{quarantine.DISMISSED} by {by}")


def keep(engine: Engine, number: int, *, by: str) -> Decided:
    """Of a conflict: who has the photograph keeps it; the other claim is not looked at again. Raises InboxError."""
    with database.session(engine) as session:
        row, sha, holder = _contested(session, number)
        scans.mark_inbox(session, [(row.key, row.etag, sha)])
        return _close(session, number, row.key, f"kept by {by}: {_shown(holder)}")


def give(engine: Engine, number: int, to: Mapping[str, str], *, by: str) -> Decided:
    """Of a conflict: the photograph is this patient's; the next night joins the outcomes of both visits again.

    ``to``: patient; eye and visit where they are not those that the row claims for that patient, or that the scan has.
    Not while a night runs. Raises InboxError, AlreadyRunning, StorageError.
    """
    with NightLock(engine), database.session(engine) as session:
        row, sha, holder = _contested(session, number)
        patient = claims.patient(claims.text(to, "patient"))
        base = row.claim if row.claim["patient"] == patient else {"eye": holder.eye, "visit": holder.visit}
        eye = claims.eye(claims.text(to, "eye") or base["eye"])
        new = Custody(patient, str(eye), claims.text(to, "visit") or base["visit"])
        if new == holder:
            raise InboxError(f"quarantine {number}: that patient, eye and visit have it already; --keep says so")
        custody.move(session, sha, new)
        scans.mark_inbox(session, [(row.key, row.etag, sha)])
        return _close(session, number, row.key, f"moved by {by}: from {_shown(holder)} to {_shown(new)}")


def _open(session: Session, number: int) -> Quarantined:
    row = quarantine.get(session, number)
    if row is None:
        raise InboxError(f"quarantine {number}: there is no such row")
    if row.resolved_at is not None:
        raise InboxError(f"quarantine {number}: closed on {row.resolved_at:%Y-%m-%d %H:%M} UTC, {row.resolution}")
    return row


def _contested(session: Session, number: int) -> tuple[Quarantined, str, Custody]:
    row = _open(session, number)
    holder = custody.holders(session, [row.sha256]).get(row.sha256) if row.sha256 else None
    if row.kind != "conflict" or not row.claim or holder is None or row.sha256 is None:
        raise InboxError(f"quarantine {number}: nobody else has this photograph; say --patient and --eye, or --dismiss")
    return row, row.sha256, holder


def _close(session: Session, number: int, key: str, resolution: str) -> Decided:
    quarantine.resolve(session, number, resolution)
    return Decided(key, resolution)


def _shown(whose: Custody) -> str:
    return f"patient {whose.patient}, {whose.eye} eye, visit {whose.visit}"


def _entry(objects: Objects, key: str) -> Entry | None:
    return next((entry for entry in objects.list(key) if entry.key == key), None)
