"""From inbox to outcomes on a real PostgreSQL and a real S3, with a small real network."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from sqlalchemy import select

from clarity.errors import InferenceError, StorageError
from clarity.inference import heatmap
from clarity.inference.engine import Engine as InferenceEngine
from clarity.inference.grader import Graded, Grader
from clarity.inference.scores import Scores
from clarity.records import Tensor
from clarity.screening import score
from clarity.settings import Settings
from clarity.storage import database, keys, results, runs, tables
from clarity.storage.objects import Objects
from clarity.storage.scans import ScoredBy
from tests import tiny
from tests.integration.screening_night import MAX_BYTES, Night

EYES = [tiny.jpeg(tiny.eye(seed=seed)) for seed in range(6)]
BLANK = tiny.jpeg(np.full((300, 300, 3), 255, np.uint8))


@pytest.fixture
def night(settings: Settings, grader: Grader) -> Iterator[Night]:
    engine = database.engine(settings.need("database_url"))
    yield Night(engine, Objects(settings), grader)
    engine.dispose()


def overlays(night: Night) -> list[str]:
    return [entry.key for entry in night.objects.list("heatmaps/")]


def test_both_eyes_of_a_patient_become_scans_predictions_overlays_and_one_outcome(night: Night) -> None:
    night.put("a.jpg", EYES[0], patient="P1", eye="left", captured_at="2026-11-21T09:00:00Z")
    night.put("b.jpg", EYES[1], patient="P1", eye="right")
    assert night.take_in().registered == 2
    done = night.score()
    assert (done.scored, done.failed) == (2, 0)
    assert night.counts() == {"patients": 1, "scans": 2, "predictions": 2, "outcomes": 1, "quarantine": 0}
    outcome = night.outcomes()["P1"]
    assert outcome.left_grade is not None and outcome.right_grade is not None
    assert outcome.macular_oedema == "not assessed"
    with database.session(night.engine) as session:
        prediction, scan = session.execute(
            select(tables.Prediction, tables.Scan).join(tables.Scan).where(tables.Scan.eye == "left")
        ).one()
    assert night.objects.get(scan.key) == EYES[0]
    assert scan.key == keys.capture_key(keys.sha256(EYES[0]), ".jpg")
    assert sum(prediction.probabilities) == pytest.approx(1)
    stored = night.objects.get(prediction.heatmap_key)
    overlay = cv2.imdecode(np.frombuffer(stored, np.uint8), cv2.IMREAD_COLOR)
    assert overlay.shape[1] == 128
    (again,) = night.grader.grade([EYES[0]])
    assert isinstance(again, Graded)
    np.testing.assert_allclose(heatmap.numbers(stored), again.maps, atol=1e-3, rtol=2e-3)
    assert "P1" not in prediction.heatmap_key


def test_run_again_nothing_doubles_and_nothing_is_read_again(night: Night) -> None:
    for number, data in enumerate(EYES):
        night.put(f"{number}.jpg", data, patient=f"P{number // 2}", eye="left" if number % 2 else "right")
    night.take_in()
    night.score()
    before, objects = night.counts(), sorted(overlays(night))
    with database.session(night.engine) as session:
        written = {p.sha256: p.created_at for p in session.scalars(select(tables.Prediction))}
    assert night.take_in() == type(night.take_in())(0, 0)
    assert night.waiting() == []
    night.score(list(written))  # even when a batch is sent again
    assert night.counts() == before
    assert sorted(overlays(night)) == objects
    with database.session(night.engine) as session:
        assert {p.sha256: p.created_at for p in session.scalars(select(tables.Prediction))} == written


def test_a_manifest_attributes_the_photographs_of_its_folder_only(night: Night) -> None:
    night.put("x/1.jpg", EYES[0])
    night.put("x/2.jpg", EYES[1])
    night.put("x/y/1.jpg", EYES[2])
    night.objects.put("inbox/x/manifest.csv", b"file,patient,eye,field,visit,captured_at\n1.jpg,P1,OS,macula,v1,\n")
    assert night.take_in() == type(night.take_in())(1, 2)
    assert set(night.reasons()) == {"inbox/x/2.jpg", "inbox/x/y/1.jpg"}
    assert "whose it is, is not known" in night.reasons()["inbox/x/2.jpg"]


def test_a_sidecar_that_comes_later_settles_the_quarantine(night: Night) -> None:
    night.put("a.jpg", EYES[0])
    assert night.take_in().quarantined == 1
    assert night.take_in().quarantined == 1
    assert night.counts()["quarantine"] == 1
    night.put("a.jpg", EYES[0], patient="P1", eye="left")
    assert night.take_in().registered == 1
    assert night.reasons() == {}


def test_the_same_photograph_under_two_names_is_one_scan(night: Night) -> None:
    night.put("a.jpg", EYES[0], patient="P1", eye="left")
    night.put("copy/b.jpeg", EYES[0], patient="P1", eye="left")
    assert night.take_in().registered == 2
    night.score()
    assert night.counts() == {"patients": 1, "scans": 1, "predictions": 1, "outcomes": 1, "quarantine": 0}
    assert len(list(night.objects.list("captures/"))) == 1


@pytest.mark.parametrize("limit", [1, 100])
@pytest.mark.parametrize(
    ("claim", "verdict"),
    [
        ({"patient": "P2", "eye": "left"}, "another patient"),
        ({"patient": "P1", "eye": "right"}, "registered as the left eye"),
        ({"patient": "P1", "eye": "left", "visit": "v2"}, "registered for visit v1"),
    ],
)
def test_a_second_claim_on_a_photograph_is_a_conflict_for_a_person(
    night: Night, claim: dict[str, str], verdict: str, limit: int
) -> None:
    night.put("a.jpg", EYES[0], patient="P1", eye="left")
    night.put("b.jpg", EYES[0], **claim)
    night.take_in(limit)
    assert verdict in night.reasons()["inbox/b.jpg"]
    assert night.counts()["scans"] == 1


def test_bad_photographs_end_in_a_state_that_a_person_can_see_and_never_stop_the_others(night: Night) -> None:
    bomb = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\xc3\x50\x00\x00\xc3\x50\x08\x02\x00\x00\x00" + b"\0" * 60
    bad = {"empty": b"", "text": b"a text named .jpg", "cut": EYES[1][: len(EYES[1]) // 2], "bomb": bomb}
    for name, data in bad.items():
        night.put(f"{name}.jpg", data, patient=name, eye="left")
    night.put("huge.jpg", b"\xff" * (MAX_BYTES + 1), patient="huge", eye="left")
    night.put("blank.jpg", BLANK, patient="blank", eye="left")
    night.put("good.jpg", EYES[0], patient="good", eye="left")
    night.put("no eye.jpg", EYES[2], patient="X", eye="third")
    night.put("not json.jpg", EYES[3])
    night.objects.put("inbox/not json.jpg.json", b"{")
    assert night.take_in().quarantined == 3
    done = night.score()
    assert (done.scored, done.ungradable, done.quarantined, done.failed) == (1, 1, 4, 0)
    assert night.states() == {"scored": 1, "ungradable": 1, "quarantined": 4}
    reasons = night.reasons()
    assert "more than the" in reasons["inbox/huge.jpg"]
    assert "not left or right" in reasons["inbox/no eye.jpg"]
    assert "not JSON" in reasons["inbox/not json.jpg"]
    assert len(reasons) == 7
    found = night.outcomes()
    assert {found[name].result for name in (*bad, "blank")} == {"incomplete"}
    assert "ungradable" in found["blank"].reasons[0]
    assert found["good"].result in ("incomplete", "refer")


def test_an_engine_that_fails_costs_no_photograph_its_place(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    night.put("a.jpg", EYES[0], patient="P1", eye="left")
    night.take_in()

    def broken(self: InferenceEngine, tensor: Tensor) -> Scores:
        raise InferenceError("logits: NaN, not a result")

    with monkeypatch.context() as patch:
        patch.setattr(InferenceEngine, "run", broken)
        done = night.score()
    assert (done.scored, done.failed) == (0, 1)
    assert night.states() == {"registered": 1}
    assert night.score().scored == 1


def test_a_capture_whose_object_is_gone_goes_to_quarantine(night: Night) -> None:
    night.put("a.jpg", EYES[0], patient="P1", eye="left")
    night.take_in()
    night.objects.delete(keys.capture_key(keys.sha256(EYES[0]), ".jpg"))
    assert night.score().quarantined == 1
    assert "no such object" in next(iter(night.reasons().values()))


def test_a_batch_that_dies_before_its_transaction_leaves_no_row(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    night.put("a.jpg", EYES[0], patient="P1", eye="left")
    night.put("b.jpg", EYES[1], patient="P1", eye="right")
    night.take_in()

    def died(*_: object) -> None:
        raise StorageError("outcomes: the connection died")

    with monkeypatch.context() as patch:
        patch.setattr(results, "save_outcomes", died)
        with pytest.raises(StorageError):
            night.score()
    assert night.counts()["predictions"] == 0
    assert night.states() == {"registered": 2}
    assert len(overlays(night)) == 2  # object first
    assert night.score().scored == 2
    assert len(overlays(night)) == 2


def test_two_workers_with_the_same_chunk_cost_time_and_not_correctness(night: Night) -> None:
    for number, data in enumerate(EYES):
        night.put(f"{number}.jpg", data, patient=f"P{number // 2}", eye="left" if number % 2 else "right")
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda limit: night.take_in(limit), (2, 6)))
        shas = night.waiting()
        list(pool.map(night.score, (shas, shas[::-1])))
    assert night.counts() == {"patients": 3, "scans": 6, "predictions": 6, "outcomes": 3, "quarantine": 0}


def test_a_visit_that_waits_for_its_second_eye_is_incomplete_or_refers_and_then_is_settled(night: Night) -> None:
    night.put("a.jpg", EYES[0], patient="P1", eye="left")
    night.put("b.jpg", EYES[1], patient="P1", eye="right")
    night.take_in()
    first, second = night.waiting()
    night.score([first])
    outcome = night.outcomes()["P1"]
    assert outcome.result in ("incomplete", "refer")
    assert any("not scored yet" in reason for reason in outcome.reasons)
    night.score([second])
    assert not any("not scored yet" in reason for reason in night.outcomes()["P1"].reasons)
    assert night.count(tables.Outcome) == 1


def test_a_new_champion_scores_the_whole_visit_beside_the_old_predictions(night: Night) -> None:
    night.put("a.jpg", EYES[0], patient="P1", eye="left")
    night.put("other.jpg", EYES[2], patient="P2", eye="left")
    night.take_in()
    night.score()
    night.by = ScoredBy("clarity-dr", "2", "f" * 16)
    assert night.waiting() == []  # history is not scored again by itself
    night.put("b.jpg", EYES[1], patient="P1", eye="right")
    night.take_in()
    waiting = night.waiting()
    assert waiting == [keys.sha256(EYES[0]), keys.sha256(EYES[1])]  # what waits comes last
    night.score(waiting[:1])
    assert night.waiting() == waiting[1:]  # a night that died here goes on here
    night.score(waiting[1:])
    assert night.counts()["predictions"] == 4
    with database.session(night.engine) as session:
        versions = session.scalars(select(tables.Outcome.model_version).order_by(tables.Outcome.id)).all()
        (second,) = session.scalars(select(tables.Outcome).where(tables.Outcome.model_version == "2"))
    assert versions == ["1", "1", "2"]
    assert second.left_grade is not None and second.right_grade is not None


def test_a_run_that_never_ended_is_closed_by_the_next(night: Night) -> None:
    night.start("first")
    night.start("second")
    with database.session(night.engine) as session:
        first, second = runs.get(session, "first"), runs.get(session, "second")
    assert first is not None and first.status == "failed" and "killed" in (first.error or "")
    assert second is not None and second.status == "running"


def test_a_batch_of_nothing_is_nothing(night: Night) -> None:
    assert night.score([]) == score.Batch()
    assert night.score(["0" * 64]) == score.Batch()
