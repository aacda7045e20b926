"""The inbox: objects that clinics put under ``inbox/`` become patients and scans, or go to quarantine with a reason.

Inbox objects are left where they are: they are the clinic's, and a folder that is synchronised again would bring them
back. What has become a scan is known by (key, etag) and not read again; what is in quarantine is looked at again each
night, so that a sidecar that comes later settles it, except what a person dismissed. Expire old objects with a
lifecycle rule of the bucket.

A listed object is whole: S3 shows a PUT, and a multipart upload, only once all of it was received. A file that was
copied from while it was still being written is whole to S3 too: a sidecar's ``bytes`` or ``sha256`` tells it.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from clarity.errors import InboxConflict, InboxError, InboxRefused, ObjectMissing
from clarity.records import Capture
from clarity.screening.ahead import ahead
from clarity.screening.attribution import Attributions, Unattributed
from clarity.screening.listing import Found, waiting
from clarity.screening.room import Room
from clarity.storage import database, keys, quarantine, scans
from clarity.storage.objects import Objects
from clarity.storage.quarantine import Refused

__all__ = ["Found", "Read", "Registered", "read", "register", "waiting", "write"]

_PARALLEL = 8
"""Objects on their way from the inbox to their place at once."""
_ROOM = 128 * 1024 * 1024
"""Bytes of photographs in memory at once."""


@dataclass(frozen=True, slots=True)
class Registered:
    """What became of a chunk of inbox objects."""

    registered: int
    quarantined: int


def register(
    objects: Objects,
    engine: Engine,
    found: Sequence[Found],
    attributions: Attributions,
    *,
    max_bytes: int,
    run_id: str | None,
) -> Registered:
    """Make scans of a chunk: object first, rows second, in one transaction. Again, it changes nothing.

    Raises StorageError.
    """
    read_ = list(read(objects, found, attributions, max_bytes=max_bytes))
    with database.session(engine) as session:
        return write(session, read_, run_id)


@dataclass(frozen=True, slots=True)
class Read:
    """What was found out about one object: whose capture it is, or why that is not known."""

    found: Found
    result: Capture | Refused
    unsaid: bool = False
    """Nobody says whose it is; where its content is a scan already, it is that scan."""


def read(objects: Objects, found: Sequence[Found], attributions: Attributions, *, max_bytes: int) -> Iterator[Read]:
    """Attribute, hash and copy each object to its place under ``captures/``, overlapping, so many bytes at once.

    In the order of ``found``; what the clinic took back is left out. Raises StorageError.
    """
    room = Room(max(_ROOM, max_bytes))

    def one(item: Found) -> Read | None:
        try:
            return _read(objects, item, attributions, max_bytes, room)
        except ObjectMissing:
            return None

    with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="inbox") as pool:
        yield from (result for result in ahead(pool, one, found, limit=2 * _PARALLEL) if result is not None)


def write(session: Session, seen: Sequence[Read], run_id: str | None) -> Registered:
    """The rows of what was read: scans, inbox objects, quarantine."""
    captured = [(one.found, one.result) for one in seen if isinstance(one.result, Capture)]
    refused = [(one.found, one.result, one.unsaid) for one in seen if isinstance(one.result, Refused)]
    conflicts = scans.register(session, [capture for _, capture in captured], run_id)
    known = scans.known(session, [r.sha256 for _, r, unsaid in refused if unsaid and r.sha256])
    taken = [(f, c.sha256) for (f, c), conflict in zip(captured, conflicts, strict=True) if conflict is None]
    taken += [(f, r.sha256) for f, r, unsaid in refused if unsaid and r.sha256 in known]
    bad = [r for _, r, unsaid in refused if not (unsaid and r.sha256 in known)]
    bad += [_contested(f, c, str(why)) for (f, c), why in zip(captured, conflicts, strict=True) if why is not None]
    scans.mark_inbox(session, [(item.key, item.etag, sha) for item, sha in taken if sha])
    quarantine.settle(session, [item.key for item, _ in taken])
    quarantine.note(session, bad, run_id)
    return Registered(len(taken), len(bad))


def _read(objects: Objects, item: Found, attributions: Attributions, max_bytes: int, room: Room) -> Read:
    sha = None
    try:
        if item.size > max_bytes:
            raise InboxRefused(f"{item.size} bytes, more than the {max_bytes} that a photograph may have")
        said = attributions.said(item.key, sidecar=item.sidecar)
        said.check_size(item.size)
        with room.of(item.size):
            data = objects.get(item.key)
            sha = keys.sha256(data)
            said.check_content(sha)
            suffix, kind = keys.kind(data)
            if not suffix and not said.sources:
                raise InboxRefused(f"{len(data)} bytes, no photograph, and nobody says whose it is")
            told = attributions.of(said, data)
            key = keys.capture_key(sha, suffix)
            put = objects.put_if_absent if item.seen else objects.put  # what was in quarantine is mostly there already
            put(key, data, kind)
    except InboxError as error:
        refused = Refused(item.key, str(error), item.etag, sha, _kind(error))
        return Read(item, refused, unsaid=isinstance(error, Unattributed))
    return Read(
        item,
        Capture(
            sha, key, told.patient, told.eye, told.visit, told.field, told.captured_at, told.visit_type, told.camera
        ),
    )


def _kind(error: InboxError) -> str:
    return (
        "conflict"
        if isinstance(error, InboxConflict)
        else "object"
        if isinstance(error, InboxRefused)
        else "attribution"
    )


def _contested(item: Found, capture: Capture, why: str) -> Refused:
    claim = {"patient": capture.patient, "eye": str(capture.eye), "visit": capture.visit}
    return Refused(item.key, why, item.etag, capture.sha256, "conflict", claim)
