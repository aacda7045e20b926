"""Years of nights as the bench draws them: whole, of the real schema, and answered in the right order."""

from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import func, select
from sqlalchemy.engine import make_url

from clarity.bench import database as bench
from clarity.bench import years
from clarity.bench.years import BY, Size
from clarity.settings import Settings
from clarity.storage import database, scans, tables, worklist

SIZE = Size(20_000)
SHAPE = (
    "SELECT conrelid::regclass::text || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE connamespace = 'public'::regnamespace UNION SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'"
)


@pytest.fixture(scope="module")
def rules(module_settings: Settings) -> tuple[set[object], set[object]]:
    """Of the schema, before and after years of nights were drawn into the database of these tests."""
    url = make_url(module_settings.need("database_url")).set(drivername="postgresql")
    with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as link:
        before = set(link.execute(SHAPE).fetchall())
        years.fill(link, SIZE)
        return before, set(link.execute(SHAPE).fetchall())


@pytest.fixture
def engine(module_settings: Settings, rules: object) -> Iterator[database.Engine]:
    made = database.engine(module_settings.need("database_url"))
    yield made
    made.dispose()


def test_years_of_nights_keep_every_rule_of_the_schema(
    rules: tuple[set[object], set[object]], engine: database.Engine
) -> None:
    before, after = rules
    assert after == before
    with database.session(engine) as session:
        states = dict(
            session.execute(select(tables.Scan.state, func.count()).group_by(tables.Scan.state)).tuples().all()
        )
        visits = scans.waiting_visits(session, limit=1000)
        waiting = scans.unscored(session, visits, BY)
        outcomes = session.scalar(select(func.count()).where(~tables.Outcome.superseded))
    assert sum(states.values()) == SIZE.captures
    assert states["registered"] == 4 * SIZE.waiting == sum(map(len, waiting))
    assert len(waiting) == len(visits) == SIZE.waiting
    assert outcomes == SIZE.visits - SIZE.waiting  # of each visit that was scored one stands


def test_the_worklist_of_years_is_walked_once_in_its_order(engine: database.Engine) -> None:
    seen: list[worklist.Entry] = []
    with database.session(engine) as session:
        cursor: worklist.Cursor | None = None
        while page := worklist.page(session, cursor):
            seen += page.entries
            if (cursor := page.following) is None:
                break
        table = tables.Outcome
        still = table.reviewed_at.is_(None) & ~table.superseded & (table.priority < 4)
        expected = session.scalars(select(table.id).where(still).order_by(table.priority, table.due_on, table.id)).all()
    assert len(expected) > 50
    assert [entry.cursor.id for entry in seen] == list(expected)


def test_the_bench_gives_its_rows_and_leaves_the_database_of_the_environment_alone(engine: database.Engine) -> None:
    found = {row.name: row for row in bench.rows(4_000, calls=3)}
    names = ("worklist_ms", "history_ms", "claim_ms", "report_ms", "bytes_a_capture", "paging", "written")
    assert list(found) == [f"database.{name}" for name in names]
    assert found["database.claim_ms"].target == 50 and found["database.claim_ms"].value > 0
    assert found["database.written"].detail["rows"] == 400
    with database.session(engine) as session:
        assert session.scalar(select(func.count()).select_from(tables.Scan)) == SIZE.captures
