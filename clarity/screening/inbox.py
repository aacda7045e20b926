"""The inbox: objects that clinics put under ``inbox/`` become patients and scans, or go to quarantine with a reason.

Inbox objects are left where they are: they are the clinic's, and a folder that is synchronised again would bring them
back. What has become a scan is known by (key, etag) and not read again; what is in quarantine is looked at again each
night, so that a sidecar that comes later settles it. Expire old objects with a lifecycle rule of the bucket.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import Engine

from clarity.errors import InboxError, ObjectMissing
from clarity.records import Capture
from clarity.screening.attribution import Attributions, is_attribution
from clarity.storage import database, keys, runs, scans
from clarity.storage.objects import Entry, Objects
from clarity.storage.runs import Refused


@dataclass(frozen=True, slots=True)
class Found:
    """One inbox object that is not a scan yet: a reference that may cross processes."""

    key: str
    etag: str
    size: int


@dataclass(frozen=True, slots=True)
class Registered:
    """What became of a chunk of inbox objects."""

    registered: int
    quarantined: int


def waiting(
    objects: Objects, engine: Engine, prefix: str, *, after: str = "", limit: int = 1000
) -> tuple[list[Found], str | None]:
    """The next ``limit`` photographs of the inbox behind the key ``after``: those of them that are not scans yet.

    Also the key to go on from, None at the end. So a night's memory is flat however full the inbox is. Raises
    StorageError.
    """
    listed = (entry for entry in objects.list(prefix, after=after) if _is_photograph(entry))
    page = list(islice(listed, limit))
    with database.session(engine) as session:
        known = scans.known_inbox(session, [(entry.key, entry.etag) for entry in page])
    fresh = [Found(e.key, e.etag, e.size) for e in page if (e.key, e.etag) not in known]
    return fresh, page[-1].key if len(page) == limit else None


def read(
    objects: Objects, found: Sequence[Found], attributions: Attributions, *, max_bytes: int
) -> Iterator[tuple[Found, Capture | Refused]]:
    """Attribute, hash and copy each object to its place under ``captures/``, one in memory at a time.

    What cannot be attributed comes back refused. Raises StorageError.
    """
    for item in found:
        try:
            yield item, _capture(objects, item, attributions, max_bytes)
        except InboxError as error:
            yield item, Refused(item.key, str(error), item.etag)
        except ObjectMissing:
            continue  # the clinic took it back


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
    results = list(read(objects, found, attributions, max_bytes=max_bytes))
    captured = [(item, result) for item, result in results if isinstance(result, Capture)]
    refused = [result for _, result in results if isinstance(result, Refused)]
    with database.session(engine) as session:
        conflicts = scans.register(session, [capture for _, capture in captured], run_id)
        taken = []
        for (item, capture), conflict in zip(captured, conflicts, strict=True):
            if conflict is None:
                taken.append((item.key, item.etag, capture.sha256))
            else:
                refused.append(Refused(item.key, conflict, item.etag, capture.sha256))
        scans.mark_inbox(session, taken)
        runs.resolve(session, [key for key, _, _ in taken])
        runs.quarantine(session, refused, run_id)
    return Registered(len(taken), len(refused))


def _is_photograph(entry: Entry) -> bool:
    return not entry.key.endswith("/") and not is_attribution(entry.key)


def _capture(objects: Objects, item: Found, attributions: Attributions, max_bytes: int) -> Capture:
    if item.size > max_bytes:
        raise InboxError(f"{item.size} bytes, more than the {max_bytes} that a photograph may have")
    said = attributions.of(item.key)
    data = objects.get(item.key)
    sha = keys.sha256(data)
    suffix, kind = keys.kind(data)
    key = keys.capture_key(sha, suffix)
    objects.put_if_absent(key, data, kind)
    return Capture(sha, key, said.patient, said.eye, said.visit, said.field, said.captured_at)
