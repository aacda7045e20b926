"""What lies in the inbox and is no scan yet, page by page: a listing tells also which photographs have a sidecar."""

from dataclasses import dataclass

from sqlalchemy import Engine

from clarity.screening.attribution import SIDECAR, is_attribution
from clarity.storage import database, quarantine, scans
from clarity.storage.objects import Entry, Objects


@dataclass(frozen=True, slots=True)
class Found:
    """One inbox object that is not a scan yet: a reference that may cross processes."""

    key: str
    etag: str
    size: int
    sidecar: int | None = None
    """Bytes of its sidecar, -1 for none, None where the listing ended before it could be seen."""
    seen: bool = False
    """It was in quarantine before."""


def waiting(
    objects: Objects, engine: Engine, prefix: str, *, after: str = "", limit: int = 1000
) -> tuple[list[Found], str | None]:
    """The next ``limit`` photographs of the inbox behind the key ``after``: those of them that are not scans yet.

    Also the key to go on from, None at the end. So a night's memory is flat however full the inbox is. Raises
    StorageError.
    """
    page, sidecars, last = _page(objects, prefix, after, limit)
    named = [(entry.key, entry.etag) for entry in page]
    with database.session(engine) as session:
        known = scans.known_inbox(session, named)
        met = quarantine.met(session, named)
    fresh = [e for e in page if (e.key, e.etag) not in known and not met.get((e.key, e.etag))]
    whole = len(page) < limit
    return [
        Found(e.key, e.etag, e.size, _sidecar(e.key, sidecars, None if whole else last), (e.key, e.etag) in met)
        for e in fresh
    ], None if whole else page[-1].key


def _page(objects: Objects, prefix: str, after: str, limit: int) -> tuple[list[Entry], dict[str, int], str]:
    """The next photographs, the sidecars among them with their bytes, and the last key that the listing came to."""
    page: list[Entry] = []
    sidecars: dict[str, int] = {}
    last = after
    for entry in objects.list(prefix, after=after):
        last = entry.key
        if entry.key.endswith(SIDECAR):
            sidecars[entry.key] = entry.size
        elif not entry.key.endswith("/") and not is_attribution(entry.key):
            if len(page) == limit:
                break
            page.append(entry)
    return page, sidecars, last


def _sidecar(key: str, sidecars: dict[str, int], last: str | None) -> int | None:
    """Bytes of a photograph's sidecar; ``last`` is where the listing ended, None where it saw all.

    A listing is ordered by name within a folder; some stores list a folder at the place of its own name.
    """
    name = key + SIDECAR
    if name in sidecars or last is None:
        return sidecars.get(name, -1)
    folder = key[: key.rfind("/") + 1]
    passed = not last.startswith(folder) or last[len(folder) :].partition("/")[0] > name[len(folder) :]
    return -1 if passed else None
