"""Who works on a capture: claims with a lease, workers that die, stall or come back, and what never doubles."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select, update

from clarity.errors import StorageUnavailable
from clarity.inference.grader import Grader
from clarity.screening import score
from clarity.settings import Settings
from clarity.storage import database, leases, scans, tables
from clarity.storage.objects import Objects
from clarity.storage.scans import ScoredBy
from tests import tiny
from tests.integration.screening_night import Night

EYES = [tiny.jpeg(tiny.eye(seed=seed)) for seed in range(4)]


@pytest.fixture
def night(settings: Settings, grader: Grader) -> Iterator[Night]:
    engine = database.engine(settings.need("database_url"), pool_size=12)
    made = Night(engine, Objects(settings), grader)
    for number, data in enumerate(EYES):
        made.put(f"{number}.jpg", data, patient=f"P{number // 2}", eye="left" if number % 2 else "right")
    made.take_in()
    made.start("night")
    yield made
    engine.dispose()


def claim(night: Night, chunk: str, seconds: float = 60.0, begin: bool = True) -> leases.Claim:
    shas = night.waiting()
    with database.session(night.engine) as session:
        got = leases.claim(session, shas, night.by, chunk=chunk, run_id="night", seconds=seconds)
        if begin:
            leases.begin(session, list(got.attempts), got.owner)
    return got


def leases_left(night: Night) -> int:
    return night.count(tables.Lease)


def test_many_workers_at_once_share_the_captures_and_none_is_claimed_twice(night: Night) -> None:
    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda n: claim(night, f"chunk {n}"), range(8)))
    claimed = [sha for one in claims for sha in one.attempts]
    assert sorted(claimed) == sorted(night.waiting())


def test_what_is_leased_to_another_is_left_alone_until_the_lease_ends(night: Night) -> None:
    claim(night, "dead worker", seconds=1.0)
    assert night.score(chunk="next").scored == 0
    time.sleep(1.1)
    assert night.score(chunk="next").scored == len(EYES)
    assert leases_left(night) == 0


def test_a_chunk_sent_again_is_taken_over_at_once(night: Night) -> None:
    claim(night, "the chunk", seconds=600)
    assert night.score(chunk="the chunk").scored == len(EYES)


def test_a_worker_that_comes_back_after_its_lease_writes_nothing(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    stored, put = 0, Objects.put

    def stall_once(objects: Objects, key: str, data: bytes, content_type: str = "") -> None:
        nonlocal stored
        put(objects, key, data, content_type)
        stored += 1
        if stored == 1:  # the first worker, at its first overlay: meanwhile its lease ends and another does the work
            time.sleep(0.4)
            assert night.score(chunk="second").scored == len(EYES)

    monkeypatch.setattr(Objects, "put", stall_once)
    first = night.score(chunk="first", lease_s=0.2)
    assert (first.scored, first.lost) == (0, len(EYES))
    assert night.counts()["predictions"] == len(EYES) and leases_left(night) == 0


def test_a_capture_that_kills_its_worker_again_and_again_costs_itself_alone(night: Night) -> None:
    killer, *others = night.waiting()
    for _ in range(5):  # each time the worker dies over it, after having claimed it
        with database.session(night.engine) as session:
            got = leases.claim(session, [killer], night.by, chunk="killed", run_id="night", seconds=0.0)
            leases.begin(session, [killer], got.owner)
    done = night.score([killer, *others], chunk="night after")
    assert (done.scored, done.quarantined) == (len(others), 1)
    with database.session(night.engine) as session:
        state, reasons = session.execute(
            select(tables.Scan.state, tables.Scan.reasons).where(tables.Scan.sha256 == killer)
        ).one()
    assert state == "quarantined" and "5 times" in reasons[0]


def test_captures_beside_a_killer_are_graded_one_by_one_before_they_are_given_up(night: Night) -> None:
    for _ in range(4):
        claim(night, "killed", seconds=0.0)
    done = night.score(chunk="next")
    assert (done.scored, done.quarantined) == (len(EYES), 0)


def test_a_store_that_is_away_is_no_attempt_of_the_photographs(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> bytes:
        raise StorageUnavailable("the store cannot be reached")

    with monkeypatch.context() as patch:
        patch.setattr(Objects, "get", away)
        for number in range(6):
            with pytest.raises(StorageUnavailable):
                night.score(chunk=f"try {number}")
    assert night.score(chunk="the store is back").scored == len(EYES)


def test_a_new_night_ends_the_leases_of_dead_ones(night: Night) -> None:
    claim(night, "dead", seconds=3600)
    night.start("next night")
    with database.session(night.engine) as session:
        assert leases.expire_others(session, "next night") == len(EYES)
    assert night.score(run_id="next night").scored == len(EYES)


def test_leases_of_settled_captures_are_swept_and_others_stay(night: Night) -> None:
    first, *_ = night.waiting()
    claim(night, "dead", seconds=0.0)
    with database.session(night.engine) as session:
        session.execute(update(tables.Scan).where(tables.Scan.sha256 == first).values(state="ungradable"))
    with database.session(night.engine) as session:
        assert leases.remove_finished(session) == 1
    assert leases_left(night) == len(EYES) - 1


def test_history_is_scored_again_beside_what_was_said(night: Night) -> None:
    night.score()
    with database.session(night.engine) as session:
        before = session.execute(select(tables.Scan.sha256, tables.Scan.state, tables.Scan.state_at)).all()
        old = {p.sha256: (p.grade, p.created_at) for p in session.scalars(select(tables.Prediction))}
    night.by = ScoredBy("clarity-dr", "2", night.by.fingerprint)
    with database.session(night.engine) as session:
        visits = scans.visits_before(session, night.by)
        shas = [sha for visit in scans.unscored(session, visits, night.by) for sha in visit]
    assert len(shas) == len(EYES)
    done = night.score(shas, run_id="rescore", rescore=True)
    assert done.scored == len(EYES)
    with database.session(night.engine) as session:
        assert session.execute(select(tables.Scan.sha256, tables.Scan.state, tables.Scan.state_at)).all() == before
        told = list(session.scalars(select(tables.Prediction)))
        assert scans.visits_before(session, night.by) == []
    assert {p.sha256: (p.grade, p.created_at) for p in told if p.model_version == "1"} == old
    assert sorted(p.model_version for p in told) == ["1"] * len(EYES) + ["2"] * len(EYES)


def test_a_rescore_in_the_middle_leaves_the_outcome_of_a_visit_until_all_of_it_is_scored(night: Night) -> None:
    night.score()
    night.by = ScoredBy("clarity-dr", "2", night.by.fingerprint)
    with database.session(night.engine) as session:
        shas = [
            one for visit in scans.unscored(session, scans.visits_before(session, night.by), night.by) for one in visit
        ]
    night.score(shas[:1], run_id="rescore", rescore=True)

    def versions() -> list[str]:
        with database.session(night.engine) as session:
            return sorted(session.scalars(select(tables.Outcome.model_version)))

    assert versions() == ["1", "1"]
    night.score(shas[1:2], run_id="rescore", rescore=True)
    assert versions() == ["1", "1", "2"]


def test_the_sum_of_two_batches_is_a_batch(night: Night) -> None:
    one = score.Batch(scored=1, lost=2, errors=("a",))
    assert one + score.Batch(scored=2, failed=1, errors=("b",)) == score.Batch(3, 0, 0, 1, 2, ("a", "b"))
