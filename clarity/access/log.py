"""The access log's writer. There is no other verb: neither the service nor a trigger lets a row change."""

from collections.abc import Sequence

from sqlalchemy import Engine

from clarity.storage import access, database
from clarity.storage.access import Entry


def append(engine: Engine, entries: Sequence[Entry]) -> None:
    """Write them in one transaction of their own. Raises StorageError."""
    with database.session(engine) as session:
        access.append(session, entries)
