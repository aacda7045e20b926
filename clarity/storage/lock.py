"""Advisory locks of PostgreSQL, which a dead process cannot keep: one night of screening at a time; and nobody sweeps
the object store while another is between an object and its row.
"""

import contextlib
import time
from collections.abc import Sequence

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from clarity.errors import AlreadyRunning, StorageUnavailable
from clarity.storage import database

SCREENING_LOCK = 0x0C1A_5C11
_KEEPING_LOCK = 0x0C1A_0B1E
_FREED_WITHIN_S = 5.0  # a server frees the lock of a connection that died some moments after the connection


class NightLock:
    """Holds an advisory lock of PostgreSQL on a connection of its own, and notices when that connection died.

    >>> with NightLock(engine) as lock: ...; lock.confirm()
    """

    def __init__(self, engine: Engine, key: int = SCREENING_LOCK) -> None:
        self._engine, self._key = engine, key
        self._link: Connection | None = None

    def __enter__(self) -> "NightLock":
        self.confirm()
        return self

    def __exit__(self, *_: object) -> None:
        self._drop()

    def confirm(self, *, patience_s: Sequence[float] = ()) -> None:
        """Take the lock, or see that it is still ours; after a restart of the server, take it again.

        ``patience_s``: the waits before further attempts where the server cannot be reached. Raises AlreadyRunning
        where another process has the lock, StorageUnavailable.
        """
        for wait in (*patience_s, None):
            try:
                self._confirm()
                return
            except StorageUnavailable:
                if wait is None:
                    raise
                time.sleep(wait)

    def _confirm(self) -> None:
        if self._link is not None and self._is_alive(self._link):
            return
        until = time.monotonic() + (_FREED_WITHIN_S if self._link is not None else 0.0)
        self._drop()
        with database.named_errors(self._engine):
            link = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            while not (taken := self._try(link)) and time.monotonic() < until:
                time.sleep(0.05)
        if not taken:
            link.close()
            raise AlreadyRunning(
                f"PostgreSQL {database.where(self._engine.url)}: another night of screening holds the lock"
            )
        self._link = link

    def _try(self, link: Connection) -> bool:
        return bool(link.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": self._key}))

    def _is_alive(self, link: Connection) -> bool:
        try:
            return bool(link.scalar(text("SELECT 1")))
        except SQLAlchemyError:
            return False

    def _drop(self) -> None:
        if self._link is not None:
            with contextlib.suppress(SQLAlchemyError):  # a server that is away has let go of it already
                # said to the server, which frees the lock of a closed connection only some moments later
                self._link.scalar(text("SELECT pg_advisory_unlock(:key)"), {"key": self._key})
            self._link.invalidate()  # closes it for good: a pooled connection would keep the lock
            self._link.close()
            self._link = None


def keeping(session: Session) -> None:
    """From here to its end this transaction may put objects whose rows it writes last; any number may at once."""
    session.execute(text("SELECT pg_advisory_xact_lock_shared(:key)"), {"key": _KEEPING_LOCK})


def sweeping(session: Session) -> None:
    """Until this transaction ends nobody is between an object and its row: what has no row now is an orphan."""
    session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _KEEPING_LOCK})
