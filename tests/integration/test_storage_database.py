"""PostgreSQL, a real one: migrations, the ledger's trigger, named errors, the lock of a night."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, text

from clarity.errors import AlreadyRunning, StorageError, StorageUnavailable
from clarity.settings import Settings
from clarity.storage import database, tables
from clarity.storage.lock import NightLock


@pytest.fixture
def url(settings: Settings) -> str:
    return settings.need("database_url")


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    made = database.engine(url)
    yield made
    made.dispose()


@pytest.fixture
def other(url: str) -> Iterator[Engine]:
    """Another process's engine, in effect."""
    made = database.engine(url)
    yield made
    made.dispose()


def test_the_migrations_make_exactly_the_typed_tables(engine: Engine) -> None:
    with database.connection(engine) as link:
        context = MigrationContext.configure(link, opts={"compare_server_default": True})
        assert compare_metadata(context, tables.Base.metadata) == []


def test_upgrading_again_and_twice_at_once_is_harmless(url: str, engine: Engine) -> None:
    with database.connection(engine) as link:
        link.execute(text("DROP SCHEMA public CASCADE"))
        link.execute(text("CREATE SCHEMA public"))
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(database.upgrade, url) for _ in range(2)]:
            done.result(timeout=60)
    with database.session(engine) as session:
        assert session.query(tables.Scan).count() == 0


def test_a_migration_down_to_nothing_and_up_again_works(engine: Engine, url: str) -> None:
    from alembic import command

    with database.connection(engine) as link:
        command.downgrade(database.alembic_config(link), "base")
    database.upgrade(url)
    with database.connection(engine) as link:
        context = MigrationContext.configure(link, opts={"compare_server_default": True})
        assert compare_metadata(context, tables.Base.metadata) == []


@pytest.mark.parametrize(
    "statement", ["UPDATE promotions SET actor = 'x'", "DELETE FROM promotions", "TRUNCATE promotions"]
)
def test_the_promotion_ledger_cannot_be_changed_only_added_to(engine: Engine, statement: str) -> None:
    with database.session(engine) as session:
        session.add(tables.Promotion(model="m", version="1", action="promoted", actor="test", reasons=["better"]))
    with pytest.raises(StorageError, match="append-only"), database.connection(engine) as link:
        link.execute(text(statement))
    with database.session(engine) as session:
        assert session.query(tables.Promotion).one().actor == "test"


def test_times_are_utc_whatever_the_server_thinks(engine: Engine) -> None:
    with database.session(engine) as session:
        session.add(tables.Patient(external_id="A"))
    with database.session(engine) as session:
        made = session.query(tables.Patient).one().created_at
    assert made.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - made) < timedelta(minutes=1)


def test_what_contradicts_the_schema_is_refused_and_rolled_back(engine: Engine) -> None:
    with pytest.raises(StorageError, match="ck_scans_eye"), database.session(engine) as session:
        patient = tables.Patient(external_id="A")
        session.add(patient)
        session.flush()
        session.add(tables.Scan(sha256="0" * 64, patient_id=patient.id, key="k", eye="third", visit="v"))
    with database.session(engine) as session:
        assert session.query(tables.Patient).count() == 0


def test_an_unreachable_server_is_named_without_its_credentials() -> None:
    with pytest.raises(StorageUnavailable) as caught:
        database.upgrade("postgresql://bob:hunter2@127.0.0.1:1/clarity")
    assert "127.0.0.1:1/clarity" in str(caught.value)
    assert "hunter2" not in str(caught.value) and "bob" not in str(caught.value)


@pytest.mark.parametrize("url", ["sqlite:///x.db", "not a url", "mysql://u:hunter2@h/x"])
def test_a_url_that_is_not_postgresql_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(StorageError) as caught:
        database.engine(url)
    assert "hunter2" not in str(caught.value)


def test_a_second_night_is_refused_while_the_first_holds_the_lock(engine: Engine, other: Engine) -> None:
    with NightLock(engine) as lock:
        lock.confirm()
        with pytest.raises(AlreadyRunning, match="another night"), NightLock(other):
            pass
    with NightLock(other):
        pass


def test_a_lock_whose_connection_died_is_taken_again_or_lost_aloud(engine: Engine, other: Engine) -> None:
    kill = text(
        "SELECT count(pg_terminate_backend(pid, :wait_ms)) FROM pg_locks WHERE locktype = 'advisory'"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    with NightLock(engine) as lock:
        with database.connection(other) as link:
            assert link.scalar(kill, {"wait_ms": 0}) == 1  # the server may free the lock only after confirm asks
        lock.confirm()
        with database.connection(other) as link:
            assert link.scalar(kill, {"wait_ms": 10_000}) == 1
        with NightLock(other), pytest.raises(AlreadyRunning):
            lock.confirm()


def test_sessions_of_two_threads_do_not_share_a_connection(engine: Engine) -> None:
    barrier, pids = threading.Barrier(2), []

    def work() -> None:
        with database.connection(engine) as link:
            barrier.wait(10)
            pids.append(link.scalar(text("SELECT pg_backend_pid()")))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: work(), range(2)))
    assert len(set(pids)) == 2
