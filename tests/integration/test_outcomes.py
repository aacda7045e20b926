"""Outcomes and reviews on a real PostgreSQL: what stands when models and people come one after another."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.orm import Session

from clarity.errors import ReviewError, StorageError
from clarity.screening import policy
from clarity.settings import Settings
from clarity.storage import database, history, tables
from tests.integration.clinic import NINE, POLICIES, V1, V2, Clinic


@pytest.fixture
def clinic(settings: Settings) -> Iterator[Clinic]:
    engine = database.engine(settings.need("database_url"))
    yield Clinic(engine)
    engine.dispose()


def written(clinic: Clinic) -> int:
    """Reviews, ever."""
    with database.session(clinic.engine) as session:
        return session.query(tables.Review).count()


def test_an_outcome_carries_its_policy_action_due_date_and_priority(clinic: Clinic) -> None:
    shas = [clinic.seen("left", 0), clinic.seen("right", 3)]
    clinic.join(shas)
    row = clinic.only()
    assert (row.result, row.worst_grade, row.left_grade, row.right_grade, row.priority) == ("refer", 3, 0, 3, 0)
    assert (row.policy, row.action) == ("ada 2017.1", "Refer to an ophthalmologist immediately.")
    assert row.due_on == NINE.date()
    assert row.macular_oedema == "not assessed" and "macular oedema" in row.not_derivable[0]


def test_thresholds_and_abstention_reach_the_outcome_from_the_predictions_row(clinic: Clinic) -> None:
    left, right = clinic.scan("P1", "left"), clinic.scan("P1", "right")
    clinic.say(left, 2, threatening=True)
    clinic.say(right, 0)
    clinic.join([left, right])
    assert clinic.only().priority == 0
    unsure = [clinic.seen("left", 1, "near the threshold", patient="P2"), clinic.seen("right", 0, patient="P2")]
    clinic.join(unsure)
    assert (clinic.only("P2").result, clinic.only("P2").priority) == ("review", 2)
    assert "near the threshold" in clinic.only("P2").reasons[0]


def test_joined_again_nothing_is_written(clinic: Clinic) -> None:
    shas = [clinic.seen("left", 2), clinic.seen("right", 0)]
    clinic.join(shas)
    before = clinic.only()
    clinic.join(shas)
    assert clinic.only().updated_at == before.updated_at and clinic.only().id == before.id


def test_another_policy_writes_the_outcome_again_under_its_own_name(clinic: Clinic) -> None:
    shas = [clinic.seen("left", 2), clinic.seen("right", 0)]
    clinic.join(shas)
    clinic.join(shas, rule=policy.load(POLICIES, "nhs-england-2025"))
    row = clinic.only()
    assert row.policy == "nhs-england-2025 2025-05-12.1"
    assert any("R1, R2L or R2H" in said for said in row.not_derivable)


def test_a_later_version_supersedes_and_overwrites_nothing(clinic: Clinic) -> None:
    shas = [clinic.seen("left", 3), clinic.seen("right", 0)]
    clinic.join(shas)
    for sha in shas:
        clinic.say(sha, 1, V2)
    clinic.join(shas, V2)
    found = clinic.outcomes()
    assert (found["1"].result, found["1"].superseded, found["1"].worst_grade) == ("refer", True, 3)
    assert (found["2"].result, found["2"].superseded, found["2"].worst_grade) == ("no referral", False, 1)
    clinic.join(shas, V1)  # an old worker that comes back with what it had written already
    assert clinic.outcomes()["1"].superseded and not clinic.outcomes()["2"].superseded


def test_a_return_to_the_older_version_stands_when_it_scores_something_new(clinic: Clinic) -> None:
    shas = [clinic.seen("left", 0), clinic.seen("right", 0)]
    clinic.join(shas)
    for sha in shas:
        clinic.say(sha, 0, V2)
    clinic.join(shas, V2)
    new = clinic.say(clinic.scan("P1", "left", field="disc"), 2, V1)
    clinic.join([new], V1)
    found = clinic.outcomes()
    assert (found["1"].result, found["1"].superseded, found["2"].superseded) == ("refer", False, True)


def test_half_a_visit_scored_by_a_new_version_takes_nobody_off_the_worklist(clinic: Clinic) -> None:
    left, right = clinic.seen("left", 0), clinic.seen("right", 4)
    clinic.join([left, right])
    clinic.say(left, 0, V2)
    clinic.join([left], V2)
    found = clinic.outcomes()
    assert (found["1"].superseded, found["2"].superseded, found["2"].result) == (False, True, "incomplete")
    clinic.say(right, 4, V2)
    clinic.join([right], V2)
    found = clinic.outcomes()
    assert (found["1"].superseded, found["2"].superseded, found["2"].result) == (True, False, "refer")


def test_a_review_goes_over_to_the_next_version_only_where_the_result_is_the_same(clinic: Clinic) -> None:
    same = [clinic.seen("left", 2), clinic.seen("right", 0)]
    other = [clinic.seen("left", 2, patient="P2"), clinic.seen("right", 0, patient="P2")]
    for shas in (same, other):
        clinic.join(shas)
        assert clinic.review(shas[0], "agree").closed
        clinic.say(shas[0], 2 if shas is same else 4, V2)
        clinic.say(shas[1], 0, V2)
        clinic.join(shas, V2)
    assert clinic.outcomes("P1")["2"].reviewed_at == clinic.outcomes("P1")["1"].reviewed_at is not None
    assert clinic.outcomes("P2")["2"].reviewed_at is None
    assert clinic.outcomes("P2")["1"].reviewed_at is not None  # history keeps it
    assert written(clinic) == 2


def test_a_new_capture_that_changes_a_reviewed_visit_opens_it_again(clinic: Clinic) -> None:
    shas = [clinic.seen("left", 2), clinic.seen("right", 0)]
    clinic.join(shas)
    assert clinic.review(shas[0], "agree").closed
    clinic.join([clinic.say(clinic.scan("P1", "right", field="disc"), 0)])
    assert clinic.only().reviewed_at is not None
    clinic.join([clinic.say(clinic.scan("P1", "right", field="nasal"), 4)])
    assert (clinic.only().reviewed_at, clinic.only().priority) == (None, 0)


def test_a_persons_grade_stands_in_the_outcome_and_the_prediction_stays(clinic: Clinic) -> None:
    left, right = clinic.seen("left", 3, "unfamiliar"), clinic.seen("right", 0)
    clinic.join([left, right])
    assert clinic.only().result == "review"
    done = clinic.review(left, "grade", 1)
    assert (done.closed, done.outcome.result, done.outcome.left_grade) == (True, "no referral", 1)
    row = clinic.only()
    assert (row.result, row.left_grade, row.priority) == ("no referral", 1, 4) and row.reviewed_at is not None
    assert "read by a person" in row.reasons[0]
    with database.session(clinic.engine) as session:
        assert [p.grade for p in session.query(tables.Prediction).order_by(tables.Prediction.id)] == [3, 0]


def test_a_visit_stays_open_until_every_capture_that_needs_a_person_was_read(clinic: Clinic) -> None:
    shas = [clinic.seen("left", 2), clinic.seen("right", 1, "near the threshold")]
    clinic.join(shas)
    assert not clinic.review(shas[0], "agree").closed
    assert clinic.only().reviewed_at is None
    assert clinic.review(shas[1], "grade", 0).closed
    assert clinic.only().reviewed_at is not None
    assert clinic.only().result == "refer"


def test_a_person_may_find_an_ungradable_capture_gradable_and_the_other_way_round(clinic: Clinic) -> None:
    left, right = clinic.scan("P1", "left", state="ungradable", reasons=["blurred"]), clinic.seen("right", 2)
    clinic.join([left, right])
    done = clinic.review(right, "ungradable")
    assert (done.outcome.result, done.closed) == ("incomplete", False)
    done = clinic.review(left, "grade", 4)
    assert (done.outcome.result, done.outcome.left_grade, done.outcome.right_grade) == ("refer", 4, None)
    assert done.closed
    agreed = clinic.scan("P3", "left", state="ungradable", reasons=["too dark"])
    clinic.join([agreed])
    done = clinic.review(agreed, "agree")
    assert (done.closed, done.outcome.result) == (True, "incomplete")
    assert "too dark" in done.outcome.reasons[0]


def test_the_newest_review_counts_and_the_same_again_writes_nothing(clinic: Clinic) -> None:
    sha = clinic.seen("left", 2)
    clinic.join([sha])
    clinic.review(sha, "grade", 3)
    clinic.review(sha, "grade", 3)
    assert written(clinic) == 1
    clinic.review(sha, "grade", 0, reviewer="dr-2")
    assert clinic.only().left_grade == 0
    clinic.review(sha, "grade", 3)
    assert (written(clinic), clinic.only().left_grade) == (3, 3)


@pytest.mark.parametrize("statement", ["UPDATE reviews SET grade = 0", "DELETE FROM reviews", "TRUNCATE reviews"])
def test_reviews_cannot_be_changed_only_added_to(clinic: Clinic, statement: str) -> None:
    sha = clinic.seen("left", 2)
    clinic.join([sha])
    clinic.review(sha, "grade", 3)
    with pytest.raises(StorageError, match="append-only"), database.connection(clinic.engine) as link:
        link.execute(text(statement))


def test_a_capture_may_be_named_by_its_first_digits(clinic: Clinic) -> None:
    sha = clinic.seen("left", 2)
    clinic.join([sha])
    assert clinic.review(sha[:8].upper(), "agree").closed


@pytest.mark.parametrize(
    ("decision", "grade", "reviewer", "verdict"),
    [
        ("agree", 2, "dr-1", "not a decision"),
        ("grade", None, "dr-1", "not a decision"),
        ("grade", 5, "dr-1", "not one of the ICDR grades"),
        ("maybe", None, "dr-1", "not one of agree"),
        ("agree", None, "Dr Jane Doe", "not a pseudonymous id"),
        ("agree", None, "", "not a pseudonymous id"),
    ],
)
def test_what_is_no_decision_is_refused(
    clinic: Clinic, decision: str, grade: int | None, reviewer: str, verdict: str
) -> None:
    sha = clinic.seen("left", 2)
    clinic.join([sha])
    with pytest.raises(ReviewError, match=verdict) as caught:
        clinic.review(sha, decision, grade, reviewer=reviewer)
    assert "Jane" not in str(caught.value)
    assert written(clinic) == 0


def test_what_no_model_has_judged_cannot_be_reviewed(clinic: Clinic) -> None:
    waiting = clinic.scan("P1", "left", state="registered")
    for sha in (waiting, "0" * 64, "abc", "x'; DROP TABLE scans", waiting[:7]):
        with pytest.raises(ReviewError):
            clinic.review(sha, "agree")
    alone = clinic.seen("left", 1, patient="P2")
    with pytest.raises(ReviewError, match="no outcome yet"):
        clinic.review(alone, "agree")


def test_two_reviewers_at_once_end_with_one_truth(clinic: Clinic) -> None:
    shas = [clinic.seen("left", 2), clinic.seen("right", 3)]
    clinic.join(shas)
    barrier = threading.Barrier(2)

    def work(sha: str) -> bool:
        barrier.wait(10)
        return clinic.review(sha, "agree", reviewer=f"dr-{sha[:2]}").closed

    with ThreadPoolExecutor(2) as pool:
        closed = list(pool.map(work, shas))
    assert sorted(closed) == [False, True]
    assert clinic.only().reviewed_at is not None and written(clinic) == 2


def test_the_history_of_a_patient_has_every_scan_with_all_that_was_said_the_newest_visit_first(clinic: Clinic) -> None:
    old = clinic.scan("P1", "left", visit="zz", captured_at=NINE.replace(year=2024))
    new = clinic.scan("P1", "left", visit="aa")
    for sha in (old, new):
        clinic.say(sha, 1)
    clinic.say(new, 3, V2)
    clinic.seen("left", 4, patient="P2")
    clinic.join([old, new])
    clinic.join([new], V2)
    clinic.review(new, "grade", 2)
    with database.session(clinic.engine) as session:
        found = history.of(session, "P1")
        assert history.of(session, "nobody") is None
    assert found is not None
    assert [(visit.visit, visit.visited_on) for visit in found] == [("aa", NINE.date()), ("zz", date(2024, 11, 21))]
    assert [said.grade for said in found[0].scans[0].predictions] == [3, 1]
    assert [(one.decision, one.grade) for one in found[0].scans[0].reviews] == [("grade", 2)]
    assert [(one.model_version, one.superseded) for one in found[0].outcomes] == [("2", False), ("1", True)]
    assert found[1].outcomes[0].left_grade == 1


def test_the_history_of_one_among_thousands_is_read_by_index(clinic: Clinic) -> None:
    with database.session(clinic.engine) as session:
        names = [f"P{number}" for number in range(4000)]
        session.execute(insert(tables.Patient), [{"external_id": name} for name in names])
        ids = session.scalars(select(tables.Patient.id)).all()
        shas = [f"{number:064x}" for number in ids]
        scans = [
            {"sha256": sha, "patient_id": one, "key": sha, "eye": "left", "visit": "v1", "state": "scored"}
            for one, sha in zip(ids, shas, strict=True)
        ]
        session.execute(insert(tables.Scan), scans)
        said = {"model": "m", "model_version": "1", "fingerprint": "f", "grade": 1, "probabilities": [0.2] * 5}
        told = {"confidence": 0.2, "referable_probability": 0.6, "vision_threatening_probability": 0.4}
        flags = {"referable": False, "vision_threatening": False, "heatmap_key": "h"}
        session.execute(insert(tables.Prediction), [{"sha256": sha, **said, **told, **flags} for sha in shas])
        joined = {"visit": "v1", "model": "m", "model_version": "1", "result": "review", "reasons": []}
        session.execute(insert(tables.Outcome), [{"patient_id": one, **joined} for one in ids])
    with database.connection(clinic.engine) as link:
        link.execute(text("ANALYZE"))
    with database.session(clinic.engine) as session:
        before = _sequential_scans(session)  # a server adds up what a connection did before, until it reports it
        (visit,) = history.of(session, "P2718") or []
        after = _sequential_scans(session)
    assert (len(visit.scans[0].predictions), len(visit.outcomes)) == (1, 1)
    for table in ("patients", "scans", "predictions", "outcomes"):
        assert after[table] == before[table], table


def _sequential_scans(session: Session) -> dict[str, int]:
    return dict(session.execute(text("SELECT relname, seq_scan FROM pg_stat_xact_user_tables")).tuples().all())
