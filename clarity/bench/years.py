"""Years of nights in PostgreSQL: as many rows as are asked for, drawn by the server itself, everything from its number.

Half a million patients and one to three visits of four captures each, or alike; 20,000 captures a night. The model
version changes once, and the nights around that were scored by both. Names, keys and shares are of the real sizes.
"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from psycopg import Connection, sql
from sqlalchemy import Engine, make_url

from clarity import stack
from clarity.bench import drawing
from clarity.settings import Settings
from clarity.storage import database
from clarity.storage.scans import ScoredBy

_A_NIGHT = 20_000
_LEAST_NIGHTS = 40
MODEL, OLD, NEW, FINGERPRINT = "clarity-dr", "3", "4", "0123456789abcdef"
BY = ScoredBy(MODEL, NEW, FINGERPRINT)
BEGAN = datetime(2024, 1, 1, tzinfo=UTC)
_QUICKLY = ("maintenance_work_mem = '512MB'", "work_mem = '256MB'", "synchronous_commit = off")
"""Of the connection that fills; the server stays as ``clarity up`` starts it."""
_INDEXED = ("scans", "predictions", "outcomes", "inbox_objects", "reviews")


@dataclass(frozen=True, slots=True)
class Size:
    """How much is drawn."""

    captures: int

    @property
    def visits(self) -> int:
        return self.captures // 4

    @property
    def patients(self) -> int:
        return max(1, self.captures // 10)

    @property
    def nights(self) -> int:
        return max(_LEAST_NIGHTS, self.captures // _A_NIGHT)

    @property
    def waiting(self) -> int:
        """Visits that came in today: 20,000 captures of them, and fewer where there are few at all."""
        return min(5_000, self.visits // 10)


def fill(link: Connection, size: Size) -> None:
    """Draw everything into the empty, migrated tables of this database. ``link`` commits each statement by itself.

    Constraints and indexes are taken away first and made again at the end, which is what checks the rows.
    """
    again = _bare(link)
    names: dict[str, int | str] = {
        "visits": size.visits,
        "patients": size.patients,
        "nights": size.nights,
        "waiting": size.waiting,
    }
    names |= {"model": MODEL, "old": OLD, "new": NEW, "fingerprint": FINGERPRINT}
    values = {name: sql.Literal(value) for name, value in names.items()}
    for statement in (drawing.CAPTURES, *drawing.ROWS):
        link.execute(sql.SQL(statement).format(**values))
    link.execute("DROP TABLE drawn")
    for statement in again:
        link.execute(sql.SQL(statement))
    link.execute("VACUUM ANALYZE")
    link.execute("CHECKPOINT")


def _bare(link: Connection) -> list[str]:
    """Take foreign keys, unique constraints, indexes and checks away; the statements that make them again, in order."""
    tables = list(_INDEXED)
    constraints = link.execute(
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), contype FROM pg_constraint"
        " WHERE conrelid::regclass::text = ANY(%s) AND contype IN ('p', 'u', 'f', 'c')"
        " ORDER BY array_position(ARRAY['f', 'c', 'u', 'p'], contype::text)",
        [tables],
    ).fetchall()
    indexes = link.execute(
        "SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) FROM pg_index i"
        " LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid"
        " WHERE i.indrelid::regclass::text = ANY(%s) AND c.oid IS NULL",
        [tables],
    ).fetchall()
    others = link.execute(  # keys of tables that are not drawn, to those that are
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), contype FROM pg_constraint"
        " WHERE contype = 'f' AND confrelid::regclass::text = ANY(%s) AND NOT conrelid::regclass::text = ANY(%s)",
        [tables, tables],
    ).fetchall()
    for table, name, _, _ in [*others, *constraints]:
        link.execute(sql.SQL(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"'))
    for name, _ in indexes:
        link.execute(sql.SQL(f"DROP INDEX {name}"))
    back = [f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {how}' for table, name, how, _ in [*others, *constraints]]
    return [*(how for _, how in indexes), *reversed(back)]


@contextmanager
def filled(size: Size) -> Iterator[tuple[Engine, float]]:
    """A server of its own with these rows, as ``clarity up`` starts one, and how many seconds they took.

    Stopped and deleted at the end. Raises StackError, StorageError.
    """
    with tempfile.TemporaryDirectory(prefix="clarity-bench-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        home.chmod(0o755)  # PostgreSQL does not run as root; its own user has to come through here
        # whatever database the environment names: it is somebody's, and nothing is drawn into it
        own = Settings(CLARITY_HOME=home / "home").model_copy(update={"database_url": None})
        settings = stack.up(own, parts=("postgres",)).settings
        engine = database.engine(settings.need("database_url"))
        try:
            database.upgrade(settings.need("database_url"))
            began = time.monotonic()
            with psycopg.connect(plain(engine), autocommit=True) as link:
                for option in _QUICKLY:
                    link.execute(f"SET {option}")
                fill(link, size)
            yield engine, time.monotonic() - began
        finally:
            engine.dispose()
            stack.down(settings)


def plain(engine: Engine) -> str:
    """Its address for psycopg alone."""
    return make_url(engine.url).set(drivername="postgresql").render_as_string(hide_password=False)
