"""The same request under the same key is done once, on a real PostgreSQL."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import Engine, func, select, update

from clarity.errors import IdempotencyConflict
from clarity.settings import Settings
from clarity.storage import database, idempotency
from clarity.storage.tables import Answered

DAY = timedelta(days=1)


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    made = database.engine(settings.need("database_url"), pool_size=10)
    yield made
    made.dispose()


def remember(
    engine: Engine, record: str, *, key: str = "k1", request: bytes = b"one", key_id: str = "app"
) -> str | None:
    with database.session(engine) as session:
        return idempotency.remember(session, key_id=key_id, key=key, request=request, record=record, lifetime=DAY)


def rows(engine: Engine) -> int:
    with database.session(engine) as session:
        return session.scalar(select(func.count()).select_from(Answered)) or 0


def age(engine: Engine, by: timedelta) -> None:
    with database.session(engine) as session:
        session.execute(update(Answered).values(at=func.now() - by))


def test_the_same_request_again_finds_the_record_that_it_made(engine: Engine) -> None:
    assert remember(engine, "first") is None
    assert remember(engine, "second") == "first"
    assert remember(engine, "third") == "first"


def test_another_request_under_the_same_key_is_a_conflict_that_repeats_neither_key_nor_request(engine: Engine) -> None:
    remember(engine, "first", key="Erika-Mustermann")
    with pytest.raises(IdempotencyConflict, match="another request") as refused:
        remember(engine, "second", key="Erika-Mustermann", request=b"two")
    assert "Erika" not in str(refused.value) and "two" not in str(refused.value)


def test_keys_of_other_callers_never_meet(engine: Engine) -> None:
    assert remember(engine, "first", key_id="app") is None
    assert remember(engine, "second", key_id="other", request=b"two") is None
    assert remember(engine, "third", key_id="other", request=b"two") == "second"


def test_a_request_whose_effect_failed_is_as_if_it_had_not_been(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError), database.session(engine) as session:
        idempotency.remember(session, key_id="app", key="k1", request=b"one", record="lost", lifetime=DAY)
        _ = 1 / 0
    assert remember(engine, "first") is None


def test_it_is_looked_up_before_any_work_without_leaving_a_row(engine: Engine) -> None:
    def recall(request: bytes) -> str | None:
        with database.session(engine) as session:
            return idempotency.recall(session, key_id="app", key="k1", request=request, lifetime=DAY)

    assert recall(b"one") is None and rows(engine) == 0
    remember(engine, "first")
    assert recall(b"one") == "first"
    with pytest.raises(IdempotencyConflict):
        recall(b"two")


def test_of_two_at_once_the_second_waits_and_ends_with_the_record_of_the_first(engine: Engine) -> None:
    written, waited = threading.Event(), []

    def slowly() -> str | None:
        with database.session(engine) as session:
            found = idempotency.remember(session, key_id="app", key="k1", request=b"one", record="slow", lifetime=DAY)
            written.set()
            time.sleep(0.3)
            return found

    def behind() -> str | None:
        written.wait(5)
        begun = time.monotonic()
        found = remember(engine, "quick")
        waited.append(time.monotonic() - begun)
        return found

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(slowly), pool.submit(behind)
        assert (first.result(), second.result()) == (None, "slow")
    assert waited[0] > 0.1 and rows(engine) == 1


def test_of_many_at_once_one_makes_the_record_and_all_end_with_it(engine: Engine) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: (f"r{i}", remember(engine, f"r{i}")), range(24)))
    made = [record for record, earlier in found if earlier is None]
    assert len(made) == 1
    assert {earlier for _, earlier in found if earlier} == {made[0]}


def test_a_row_that_has_outlived_itself_is_as_if_it_were_not_there(engine: Engine) -> None:
    remember(engine, "first")
    age(engine, timedelta(hours=23))
    assert remember(engine, "second") == "first"
    age(engine, timedelta(hours=25))
    assert remember(engine, "third", request=b"two") is None
    assert remember(engine, "fourth", request=b"two") == "third"


def test_old_rows_are_taken_away_as_new_ones_come(engine: Engine) -> None:
    for number in range(20):
        remember(engine, "old", key=f"k{number}")
    age(engine, timedelta(days=2))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: remember(engine, "new", key=f"new{number}"), range(8)))
    assert rows(engine) == 8
