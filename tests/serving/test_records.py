"""What is kept and told of patients' photographs: a live service on a real PostgreSQL and a real S3."""

import base64
import io
import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image as PillowImage
from sqlalchemy import func, select, update

from clarity.inference.bundle import Bundle
from clarity.settings import Settings
from clarity.storage import database, keys, tables
from serving import examples
from serving.records import Batch, Predicted, Record
from serving.reviewed import Reviewed, ReviewRequest
from serving.scanned import ScanDetail, Scans
from serving.schemas import Problem
from serving.visits import History
from serving.waiting import Worklist
from tests import tiny
from tests.serving.clinic import Place, get, place, send, variables
from tests.serving.live import Live, serving

BLANK = tiny.jpeg(np.full((300, 300, 3), 255, np.uint8))
MAX_IMAGES = 4


@pytest.fixture(scope="module")
def clinic(stack: Settings, _template: str) -> Iterator[Place]:
    with place(stack, _template) as made:
        yield made


@pytest.fixture(scope="module")
def live(clinic: Place, tiny_bundles: list[Bundle], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    home = tmp_path_factory.mktemp("first")
    (home / "more.yaml").write_text(
        f"serving:\n  max_images: {MAX_IMAGES}\n  url_expires_s: 60\n  idempotency_s: 3600\n"
    )
    path = str(tiny_bundles[0].path)
    with serving(
        home / "serve", "--bundle", path, configuration=[home / "more.yaml"], **variables(clinic.settings)
    ) as run:
        yield run


@pytest.fixture(scope="module")
def later(clinic: Place, tiny_bundles: list[Bundle], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """The same place, another model: as after a promotion."""
    home = tmp_path_factory.mktemp("second")
    path = str(tiny_bundles[1].path)
    with serving(home / "serve", "--bundle", path, **variables(clinic.settings)) as run:
        yield run


_seeds = iter(range(1000))


def eye() -> bytes:
    """A photograph that no other test has sent."""
    return tiny.jpeg(tiny.eye(seed=next(_seeds)))


def refused(response: httpx.Response, status: int, code: str) -> Problem:
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json"), (
        response.text
    )
    problem = Problem.model_validate(response.json())
    assert problem.code == code
    return problem


def kept(response: httpx.Response) -> Predicted:
    assert response.status_code == 200, response.text
    answer = Predicted.model_validate(response.json())
    assert answer.stored is not None
    return answer


def scan_of(clinic: Place, data: bytes) -> tables.Scan | None:
    with database.session(clinic.engine) as session:
        return session.scalar(select(tables.Scan).where(tables.Scan.sha256 == keys.sha256(data)))


def post(live: Live, path: str, **request: Any) -> httpx.Response:
    with live.client as client:
        return client.post(f"/v1{path}", **request)


# predictions


def test_with_a_patient_photograph_overlay_prediction_and_outcome_are_stored_before_the_answer(
    live: Live, clinic: Place
) -> None:
    uid, data = clinic.patient(), eye()
    answer = kept(send(live, data, uid, eye="left", field="macula", visit="v1", visit_type="follow-up"))
    stored, row = answer.stored, scan_of(clinic, data)
    assert stored is not None and row is not None
    assert (stored.patient, stored.scan, stored.visit, stored.eye) == (uid, keys.sha256(data), "v1", "left")
    assert (row.eye, row.field, row.visit_type, row.state) == ("left", "macula", "follow-up", "scored")
    with database.session(clinic.engine) as session:
        said = session.scalars(select(tables.Prediction).where(tables.Prediction.sha256 == row.sha256)).one()
    assert (answer.grade, answer.probabilities, answer.model_version) == (
        said.grade,
        said.probabilities,
        said.model_version,
    )
    assert httpx.get(stored.capture_url).content == data
    assert stored.outcome is not None and stored.outcome.result != "no referral", "one eye is not the whole visit"
    assert stored.outcome.macular_oedema == "not assessed" and stored.outcome.action and stored.outcome.due_on
    assert answer.heatmap is not None and answer.heatmap.data is None and answer.heatmap.url is not None
    with PillowImage.open(io.BytesIO(httpx.get(answer.heatmap.url).content)) as picture:
        assert picture.size == (answer.heatmap.width, answer.heatmap.height)


def test_without_a_patient_nothing_is_stored(live: Live, clinic: Place) -> None:
    before = clinic.everything()
    response = send(live, eye(), eye="left", key="nobody")
    answer = Predicted.model_validate(response.json())
    assert answer.stored is None and answer.heatmap is not None and answer.heatmap.data and answer.heatmap.url is None
    assert clinic.everything() == before


def test_the_same_photograph_of_the_same_patient_is_the_same_scan(live: Live, clinic: Place) -> None:
    uid, data = clinic.patient(), eye()
    first = kept(send(live, data, uid, eye="left"))
    before = clinic.everything()
    with ThreadPoolExecutor(6) as pool:
        again = [kept(one) for one in pool.map(lambda _: send(live, data, uid), range(6))]
    assert clinic.everything() == before
    assert {(one.grade, str(one.probabilities), one.stored and one.stored.scan) for one in again} == {
        (first.grade, str(first.probabilities), keys.sha256(data))
    }


def test_both_eyes_of_many_patients_at_once_are_all_kept(live: Live, clinic: Place) -> None:
    sent = [(uid, eye(), side) for uid in [clinic.patient() for _ in range(4)] for side in ("left", "right")]
    with ThreadPoolExecutor(8) as pool:
        answers = [kept(one) for one in pool.map(lambda one: send(live, one[1], one[0], eye=one[2]), sent)]
    assert len(answers) == 8
    for uid in {uid for uid, _, _ in sent}:
        outcome = History.model_validate(get(live, f"/predict/patient/{uid}/history")).visits[0].outcome
        assert outcome is not None and outcome.left_grade is not None and outcome.right_grade is not None


def test_what_is_said_may_stand_in_the_address_and_the_body_be_the_image(live: Live, clinic: Place) -> None:
    uid, data = clinic.patient(), eye()
    said = {"patient": str(uid), "eye": "right", "visit": "v9", "inline": "true"}
    answer = kept(post(live, "/predict", content=data, params=said, headers={"content-type": "image/jpeg"}))
    assert answer.stored and (answer.stored.eye, answer.stored.visit) == ("right", "v9")
    assert answer.heatmap and answer.heatmap.data and answer.heatmap.url


def test_another_heatmap_than_the_stored_one_comes_with_the_answer(live: Live, clinic: Place) -> None:
    answer = kept(send(live, eye(), clinic.patient(), heatmap="referable", format="webp"))
    assert answer.heatmap and answer.heatmap.url is None and answer.heatmap.data
    assert base64.b64decode(answer.heatmap.data)[:4] == b"RIFF"


def test_an_ungradable_photograph_is_stored_with_its_reasons_for_another_try(live: Live, clinic: Place) -> None:
    uid = clinic.patient()
    answer = kept(send(live, BLANK, uid, eye="left"))
    assert answer.outcome == "ungradable" and answer.grade is None and answer.heatmap is None
    assert answer.quality.reasons and answer.advice and 'not "no DR"' in answer.advice
    assert answer.stored and answer.stored.recapture and answer.stored.outcome
    assert answer.stored.outcome.result == "incomplete"


def test_what_cannot_be_read_is_refused_and_nothing_of_it_is_stored(live: Live, clinic: Place) -> None:
    uid = clinic.patient()
    before = clinic.everything()
    for data in (b"", b"text", eye()[:900]):
        refused(send(live, data, uid, key=uuid.uuid4().hex), 422, "unreadable_image")
    assert clinic.everything() == before


def test_nobody_who_was_erased_and_another_patient_eye_or_visit_are_told_apart(live: Live, clinic: Place) -> None:
    data, owner = eye(), clinic.patient()
    kept(send(live, data, owner, eye="left"))
    before = clinic.everything()
    refused(send(live, eye(), uuid.uuid4()), 404, "unknown_record")
    refused(send(live, eye(), clinic.patient(erased_at="2026-01-01")), 410, "erased")
    problem = refused(send(live, data, clinic.patient()), 409, "another_patients")
    assert str(owner) not in problem.detail
    refused(send(live, data, owner, eye="right"), 409, "another_eye")
    refused(send(live, data, owner, visit="another"), 409, "another_visit")
    after = clinic.everything()
    assert after == before | {"patients": before["patients"] + 2}


@pytest.mark.parametrize(
    "said",
    [
        {"patient": "Erika Mustermann"},
        {"eye": "both"},
        {"visit": "of Erika Mustermann"},
        {"field": "x" * 65},
        {"visit_type": "\x00"},
    ],
)
def test_what_is_not_as_documented_is_named_and_not_repeated(live: Live, said: dict[str, str]) -> None:
    problem = refused(send(live, eye(), **said), 422, "invalid_parameter")
    assert problem.detail.startswith(next(iter(said))) and "Erika" not in problem.detail


def test_two_that_say_different_things_are_refused(live: Live) -> None:
    said = {"files": {"image": ("eye.jpg", eye())}, "data": {"eye": "left"}, "params": {"eye": "right"}}
    refused(post(live, "/predict", **said), 422, "invalid_parameter")


def test_the_bytes_are_kept_as_they_came_and_nothing_that_is_answered_carries_their_metadata(
    live: Live, clinic: Place
) -> None:
    original, photograph = io.BytesIO(), PillowImage.fromarray(tiny.eye(seed=2001))
    exif = photograph.getexif()
    exif[0x013B] = "Erika Mustermann"
    exif.get_ifd(0x8825)[1] = "N"
    photograph.save(original, "JPEG", exif=exif, quality=95)
    response = send(live, original.getvalue(), clinic.patient(), inline="true")
    answer = kept(response)
    assert "Erika" not in response.text and answer.heatmap and answer.heatmap.url and answer.heatmap.data
    for picture in (httpx.get(answer.heatmap.url).content, base64.b64decode(answer.heatmap.data)):
        with PillowImage.open(io.BytesIO(picture)) as opened:
            assert opened.info == {} and not opened.getexif()
    assert answer.stored and httpx.get(answer.stored.capture_url).content == original.getvalue()


# the same request again


def comparable(answer: Predicted) -> dict[str, Any]:
    """All but addresses, times, and cells, which the stored picture carries in half precision."""
    told = answer.model_dump(mode="json", exclude={"timing_ms": True, "heatmap": {"url", "cells"}})
    told["stored"].pop("capture_url")
    return told


def test_under_its_key_a_request_is_answered_as_it_was_even_by_another_model(
    live: Live, later: Live, clinic: Place
) -> None:
    uid, data = clinic.patient(), eye()
    first = kept(send(live, data, uid, eye="left", key="k1"))
    before = clinic.everything()
    for service in (live, later):
        again = kept(send(service, data, uid, eye="left", key="k1"))
        assert comparable(again) == comparable(first)
        assert again.heatmap and first.heatmap
        np.testing.assert_allclose(again.heatmap.cells, first.heatmap.cells, atol=2e-2, rtol=2e-3)
    assert clinic.everything() == before
    other = kept(send(later, data, uid, eye="left"))
    assert other.model_version != first.model_version
    assert comparable(kept(send(later, data, uid, eye="left", key="k1")))["probabilities"] == first.probabilities


def test_another_request_under_the_same_key_is_refused(live: Live, clinic: Place) -> None:
    uid, data = clinic.patient(), eye()
    kept(send(live, data, uid, eye="left", key="k2"))
    before = clinic.everything()
    refused(send(live, eye(), uid, eye="left", key="k2"), 409, "idempotency_conflict")
    refused(send(live, data, uid, key="k2"), 409, "idempotency_conflict")
    assert clinic.everything() == before
    refused(send(live, data, uid, key="two words"), 422, "invalid_parameter")
    refused(send(live, data, uid, key="x" * 256), 422, "invalid_parameter")


def test_a_key_is_remembered_for_as_long_as_is_configured(live: Live, clinic: Place) -> None:
    uid, first, second = clinic.patient(), eye(), eye()
    scan = f"/scans/{keys.sha256(first)}/review"
    header = {"headers": {"Idempotency-Key": "k5-review"}}

    def age(minutes: int) -> None:
        with database.session(clinic.engine) as session:
            session.execute(update(tables.Answered).values(at=func.now() - timedelta(minutes=minutes)))

    kept(send(live, first, uid, eye="left", key="k5"))
    post(live, scan, json={"decision": "agree"}, **header).raise_for_status()
    age(minutes=55)
    refused(send(live, second, uid, eye="left", key="k5"), 409, "idempotency_conflict")
    refused(post(live, scan, json={"decision": "ungradable"}, **header), 409, "idempotency_conflict")
    age(minutes=65)
    kept(send(live, second, uid, eye="left", key="k5"))
    post(live, scan, json={"decision": "ungradable"}, **header).raise_for_status()


def test_a_request_sent_twice_at_once_under_one_key_has_one_answer(live: Live, clinic: Place) -> None:
    uid, data = clinic.patient(), eye()
    with ThreadPoolExecutor(6) as pool:
        answers = [comparable(kept(one)) for one in pool.map(lambda _: send(live, data, uid, key="k3"), range(6))]
    assert all(one == answers[0] for one in answers)
    with database.session(clinic.engine) as session:
        made = select(tables.Answered).where(tables.Answered.record.contains(keys.sha256(data)))
        assert len(session.scalars(made).all()) == 1


# another model version


def test_a_visit_whose_eyes_two_versions_saw_is_judged_whole_by_the_later_one(
    live: Live, later: Live, clinic: Place
) -> None:
    uid, left, right = clinic.patient(), eye(), eye()
    first = kept(send(live, left, uid, eye="left", visit="v1"))
    second = kept(send(later, right, uid, eye="right", visit="v1"))
    assert second.stored and second.stored.outcome
    outcome = second.stored.outcome
    assert outcome.model_version == second.model_version != first.model_version
    assert outcome.left_grade is not None and outcome.right_grade == second.grade
    detail = ScanDetail.model_validate(get(live, f"/scans/{keys.sha256(left)}"))
    assert [one.model_version for one in detail.earlier_predictions] == [first.model_version]
    assert detail.grade == outcome.left_grade


# batches


def batch(live: Live, images: list[bytes], *, key: str | None = None, **form: Any) -> httpx.Response:
    files = [("images", (f"{number}.jpg", data)) for number, data in enumerate(images)]
    headers = {"Idempotency-Key": key} if key else {}
    return post(live, "/predict/batch", files=files, data={n: str(v) for n, v in form.items()}, headers=headers)


def test_a_batch_has_an_answer_or_a_problem_for_each_in_order_by_one_version(live: Live, clinic: Place) -> None:
    found = Batch.model_validate(batch(live, [eye(), b"text", BLANK, eye()]).json())
    assert [one.status for one in found.items] == [200, 422, 200, 200]
    problem, answers = found.items[1].problem, [one.answer for one in found.items if one.answer]
    assert problem and problem.code == "unreadable_image"
    assert [one.outcome for one in answers] == ["graded", "ungradable", "graded"]
    assert len({one.model_version for one in answers}) == 1 and not any(one.stored for one in answers)


def test_a_batch_of_a_patient_is_stored_and_a_bad_one_costs_itself_alone(live: Live, clinic: Place) -> None:
    uid, other, left, right = clinic.patient(), eye(), eye(), eye()
    kept(send(live, other, clinic.patient()))
    captures = json.dumps([{"eye": "left"}, {}, {"eye": "right", "field": "disc"}, {"eye": "left"}])
    before = clinic.everything()
    sent = {"patient": uid, "visit": "v1", "captures": captures, "key": "b1"}
    response = batch(live, [left, other, right, b"text"], **sent)
    found = Batch.model_validate(response.json())
    assert [one.status for one in found.items] == [200, 409, 200, 422]
    first, last = found.items[0].answer, found.items[2].answer
    assert first and last and first.stored and last.stored and last.stored.field == "disc"
    assert first.stored.outcome == last.stored.outcome, "the visit as it stands once all of it is stored"
    assert last.stored.outcome and (last.stored.outcome.left_grade, last.stored.outcome.right_grade) == (
        first.grade,
        last.grade,
    )
    after = clinic.everything()
    assert after["scans"] == before["scans"] + 2
    again = Batch.model_validate(batch(live, [left, other, right, b"text"], **sent).json())
    assert [one.status for one in again.items] == [200, 409, 200, 422]
    assert again.items[2].answer and again.items[2].answer.probabilities == last.probabilities
    assert clinic.everything() == after
    refused(batch(live, [right, left], **sent), 422, "invalid_parameter")
    refused(batch(live, [left], patient=uid, key="b1"), 409, "idempotency_conflict")


def test_too_many_images_and_captures_that_are_none_are_refused(live: Live) -> None:
    assert batch(live, [BLANK] * (MAX_IMAGES + 1)).status_code in (413, 422)
    for captures in ("[]", "{", '[{"eye": "both"}]', '[{"name": "Erika"}]', '[{"eye": "left"}, {}]'):
        problem = refused(batch(live, [BLANK], captures=captures), 422, "invalid_parameter")
        assert problem.detail.startswith("captures") and "Erika" not in problem.detail
    refused(post(live, "/predict/batch", data={"eye": "left"}), 415, "unsupported_body")
    refused(post(live, "/predict/batch", files={"image": ("a.jpg", BLANK)}), 422, "missing_image")


# scans, history, reviews, worklist


def test_the_history_tells_each_visit_and_what_changed_since_the_one_before(live: Live, clinic: Place) -> None:
    uid = clinic.patient()
    old, new, right = eye(), eye(), eye()
    before = kept(send(live, old, uid, eye="left", visit="2026-01-10"))
    kept(send(live, right, uid, eye="right", visit="2026-01-10"))
    now = kept(send(live, new, uid, eye="left", visit="2026-07-10", visit_type="follow-up"))
    told = History.model_validate(get(live, f"/predict/patient/{uid}/history"))
    assert [visit.visit for visit in told.visits] == ["2026-07-10", "2026-01-10"]
    since = told.visits[0].since
    assert since and since.visit == "2026-01-10" and told.visits[1].since is None
    changed = {one.eye: one for one in since.eyes}
    assert (changed["left"].before, changed["left"].now) == (before.grade, now.grade)
    assert now.grade is not None and before.grade is not None
    wanted = "same" if now.grade == before.grade else "worse" if now.grade > before.grade else "better"
    assert changed["left"].verdict == wanted and changed["right"].verdict == "not comparable"
    (scan,) = told.visits[0].scans
    assert (scan.visit_type, scan.grade, scan.confidence) == ("follow-up", now.grade, now.confidence)
    assert httpx.get(scan.capture_url).content == new
    assert scan.heatmap_url and httpx.get(scan.heatmap_url).status_code == 200
    assert "X-Amz-Expires=60" in scan.capture_url
    assert scan.model_version == now.model_version and scan.prediction and scan.prediction.predicted_at


def test_scans_come_newest_first_page_by_page(live: Live, clinic: Place) -> None:
    uid = clinic.patient()
    sent = [keys.sha256(data) for data in (eye(), eye(), eye()) if kept(send(live, data, uid))]
    found: list[str] = []
    cursor: str | None = None
    while True:
        asked = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = Scans.model_validate(get(live, f"/patients/{uid}/scans", **asked))
        found += [scan.id for scan in page.scans]
        cursor = page.following
        if cursor is None:
            break
    assert found == sent[::-1]
    with live.client as client:
        for query in ({"cursor": "0" * 64}, {"cursor": "x"}, {"limit": 0}, {"limit": 201}):
            refused(client.get(f"/v1/patients/{uid}/scans", params=query), 422, "invalid_parameter")


def test_unknown_ids_are_told_and_malformed_ones_too(live: Live) -> None:
    with live.client as client:
        nobody, nothing = uuid.uuid4(), "0" * 64
        for path in (f"/predict/patient/{nobody}/history", f"/patients/{nobody}/scans", f"/scans/{nothing}"):
            refused(client.get(f"/v1{path}"), 404, "unknown_record")
        refused(client.post(f"/v1/scans/{nothing}/review", json={"decision": "agree"}), 404, "unknown_record")
        for path in ("/predict/patient/P1/history", "/patients/P1/scans", "/scans/3F0A", f"/scans/{'g' * 64}"):
            refused(client.get(f"/v1{path}"), 422, "invalid_parameter")


def test_a_review_changes_what_stands_of_the_visit_and_closes_it(live: Live, clinic: Place) -> None:
    uid, left, right = clinic.patient(), eye(), eye()
    for data, side in ((left, "left"), (right, "right")):
        kept(send(live, data, uid, eye=side, visit="v1"))
    request = {
        "json": {"decision": "grade", "grade": 4, "comment": "neovascularisation"},
        "headers": {"Idempotency-Key": "r1"},
    }
    path = f"/scans/{keys.sha256(left)}/review"
    done = Reviewed.model_validate(post(live, path, **request).raise_for_status().json())
    assert (done.outcome.result, done.outcome.left_grade, done.outcome.priority) == ("refer", 4, 0)
    assert (done.review.decision, done.review.grade, done.review.reviewer) == ("grade", 4, "open")
    again = Reviewed.model_validate(post(live, path, **request).raise_for_status().json())
    assert again.review == done.review
    refused(post(live, path, **(request | {"json": {"decision": "agree"}})), 409, "idempotency_conflict")
    closed = Reviewed.model_validate(
        post(live, f"/scans/{keys.sha256(right)}/review", json={"decision": "grade", "grade": 0}).json()
    )
    assert closed.closed and closed.outcome.reviewed_at
    detail = ScanDetail.model_validate(get(live, f"/scans/{keys.sha256(left)}"))
    assert [one.comment for one in detail.reviews] == ["neovascularisation"]
    assert detail.outcome == closed.outcome


def test_a_review_that_decides_nothing_and_one_that_nobody_judged_are_refused(live: Live, clinic: Place) -> None:
    data = eye()
    kept(send(live, data, clinic.patient(), eye="left"))
    path = f"/scans/{keys.sha256(data)}/review"
    bad: list[Any] = [
        {},
        {"decision": "perhaps"},
        {"decision": "grade", "grade": 5},
        {"decision": "agree", "x": 1},
        [],
        "x",
    ]
    for said in (*bad, {"decision": "agree", "comment": "a\x00b"}, {"decision": "agree", "comment": "x" * 4001}):
        refused(post(live, path, json=said), 422, "invalid_parameter")
    for said in ({"decision": "grade"}, {"decision": "agree", "grade": 2}):
        refused(post(live, path, json=said), 422, "invalid_review")
    with database.session(clinic.engine) as session:
        waiting = tables.Scan(sha256="a" * 64, patient_id=1, key="captures/aa", eye="left", visit="v1")
        session.add(waiting)
    refused(post(live, f"/scans/{'a' * 64}/review", json={"decision": "agree"}), 409, "not_judged")


def test_the_worklist_has_the_order_of_the_report_its_filters_and_a_cursor(live: Live, clinic: Place) -> None:
    for grade in (4, 2, 0):
        data = eye()
        kept(send(live, data, clinic.patient(), eye="left", visit="v1"))
        post(live, f"/scans/{keys.sha256(data)}/review", json={"decision": "grade", "grade": grade})
        kept(send(live, eye(), clinic.patient(), eye="left"))
    whole = Worklist.model_validate(get(live, "/worklist", limit=200))
    order = [(entry.priority, str(entry.due_on or "9999")) for entry in whole.entries]
    assert order == sorted(order) and len(order) > 3
    assert all(entry.scans and entry.macular_oedema == "not assessed" for entry in whole.entries)
    found, cursor = [], None
    while True:
        page = Worklist.model_validate(get(live, "/worklist", limit=2, **({"cursor": cursor} if cursor else {})))
        found += page.entries
        cursor = page.following
        if cursor is None:
            break
    assert found == whole.entries
    for filters, holds in (
        ({"priority": 3}, lambda entry: entry.priority == 3),
        ({"result": "refer"}, lambda entry: entry.result == "refer"),
        ({"due_by": str(whole.entries[0].due_on)}, lambda entry: entry.due_on <= whole.entries[0].due_on),
    ):
        narrowed = Worklist.model_validate(get(live, "/worklist", limit=200, **filters))
        assert narrowed.entries == [entry for entry in whole.entries if entry.due_on and holds(entry)]
    with live.client as client:
        for query in (
            {"cursor": "x"},
            {"priority": 4},
            {"due_by": "soon"},
            {"result": "no"},
            {"cursor": "0_none_" + "9" * 30},
        ):
            refused(client.get("/v1/worklist", params=query), 422, "invalid_parameter")


# documentation


@pytest.mark.parametrize(
    ("schema", "example"),
    [
        (Predicted, examples.PREDICTED),
        (Batch, examples.BATCH),
        (ScanDetail, examples.SCAN_DETAIL),
        (Scans, examples.SCANS),
        (History, examples.HISTORY),
        (ReviewRequest, examples.REVIEW),
        (Reviewed, examples.REVIEWED),
        (Worklist, examples.WORKLIST),
    ],
)
def test_every_example_is_what_its_schema_says(schema: type[Record], example: examples.Example) -> None:
    json.dumps(example)
    assert schema.model_validate(example).model_dump(mode="json", exclude_none=True).keys() <= example.keys()


def test_a_log_of_all_this_says_nothing_that_callers_wrote(live: Live) -> None:
    log = live.log.read_text()
    assert "Erika" not in log and "neovascularisation" not in log and "Traceback" not in log
