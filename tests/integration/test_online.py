"""A photograph kept while its patient waits, on a real PostgreSQL and a real S3, with a small real network."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from io import BytesIO
from uuid import UUID, uuid4

import numpy as np
import pytest
from PIL import Image as Pillow
from sqlalchemy import func, select, update

from clarity.errors import (
    AnotherEye,
    AnotherPatient,
    AnotherVisit,
    Erased,
    InboxConflict,
    StorageUnavailable,
    UnknownRecord,
)
from clarity.inference import heatmap
from clarity.inference.grader import Graded, Grader
from clarity.records import Capture, Eye
from clarity.screening import online, repair
from clarity.screening.online import Behind, Sent
from clarity.settings import Settings
from clarity.storage import database, keys, tables
from clarity.storage.objects import Objects
from clarity.storage.results import Finding
from clarity.storage.scans import ScoredBy
from tests import tiny
from tests.integration.screening_night import ADA, Night

EYES = [tiny.jpeg(tiny.eye(seed=seed)) for seed in range(8)]
BLANK = tiny.jpeg(np.full((300, 300, 3), 255, np.uint8))
NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
NEXT = ScoredBy("clarity-dr", "2", "f" * 16)


@pytest.fixture
def night(settings: Settings, grader: Grader) -> Iterator[Night]:
    engine = database.engine(settings.need("database_url"), pool_size=16)
    yield Night(engine, Objects(settings), grader)
    engine.dispose()


def patient(night: Night, name: str = "P1", **values: object) -> UUID:
    with database.session(night.engine) as session:
        made = tables.Patient(external_id=name, **values)
        session.add(made)
        session.flush()
        return made.uid


def admit(night: Night, uid: UUID, *sent: Sent) -> list[Capture | InboxConflict]:
    with database.session(night.engine) as session:
        return online.admit(session, uid, sent, now=NOW)


def admitted(night: Night, uid: UUID, *sent: Sent) -> list[Capture]:
    return [one for one in admit(night, uid, *sent) if isinstance(one, Capture)]


def graded(night: Night, capture: Capture, data: bytes) -> online.Graded:
    (found,) = night.grader.grade_here([data])
    assert isinstance(found, Graded)
    picture = found.overlay(128)
    if found.prediction is None or picture is None:
        return online.Graded(capture, Finding(capture.sha256, "ungradable", found.quality.reasons, 0.1), data, None)
    finding = Finding(capture.sha256, "scored", (), found.quality.score, found.prediction)
    return online.Graded(capture, finding, data, heatmap.encode(picture, maps=found.maps))


def keep(
    night: Night, uid: UUID, *sent: Sent, by: ScoredBy | None = None, more: Sequence[online.Graded] = ()
) -> list[InboxConflict | None]:
    found = [graded(night, c, one.data) for c, one in zip(admitted(night, uid, *sent), sent, strict=True)]
    return online.keep(night.engine, night.objects, uid, [*found, *more], by=by or night.by, policy=ADA)


def scan(night: Night, data: bytes) -> tables.Scan:
    with database.session(night.engine) as session:
        return session.scalars(select(tables.Scan).where(tables.Scan.sha256 == keys.sha256(data))).one()


def standing(night: Night) -> tables.Outcome:
    with database.session(night.engine) as session:
        return session.scalars(select(tables.Outcome).where(~tables.Outcome.superseded)).one()


def everything(night: Night) -> list[object]:
    kinds = (tables.Patient, tables.Scan, tables.Prediction, tables.Outcome, tables.Quarantined)
    with database.session(night.engine) as session:
        return [[tuple(row) for row in session.execute(select(kind.__table__).order_by(kind.id))] for kind in kinds]


def test_both_eyes_are_kept_as_a_night_keeps_them(night: Night) -> None:
    uid = patient(night)
    assert keep(night, uid, Sent(EYES[0], Eye.LEFT, "v1", "macula", "follow-up")) == [None]
    assert standing(night).result != "no referral", "one eye is never the whole visit"
    assert keep(night, uid, Sent(EYES[1], Eye.RIGHT, "v1")) == [None]
    assert night.counts() == {"patients": 1, "scans": 2, "predictions": 2, "outcomes": 1, "quarantine": 0}
    left = scan(night, EYES[0])
    assert (left.eye, left.field, left.visit_type, left.state) == ("left", "macula", "follow-up", "scored")
    assert night.objects.get(left.key) == EYES[0], "the bytes as they came: content addressed"
    outcome = standing(night)
    assert outcome.left_grade is not None and outcome.right_grade is not None
    assert outcome.macular_oedema == "not assessed" and outcome.action and outcome.due_on
    with database.session(night.engine) as session:
        for key in session.scalars(select(tables.Prediction.heatmap_key)):
            assert heatmap.numbers(night.objects.get(key)).shape[0] == 5


def test_kept_again_or_met_by_the_night_nothing_changes(night: Night) -> None:
    uid = patient(night)
    keep(night, uid, Sent(EYES[0], Eye.LEFT, "v1"))
    before = everything(night)
    keep(night, uid, Sent(EYES[0], Eye.LEFT, "v1"))
    keep(night, uid, Sent(EYES[0]))
    night.put("a.jpg", EYES[0], patient="P1", eye="left")
    assert night.take_in().quarantined == 0
    night.score()
    after = everything(night)
    assert [len(rows) for rows in after] == [len(rows) for rows in before]  # type: ignore[arg-type]
    assert after[2:] == before[2:], "prediction and outcome are as they were"


def test_what_the_night_took_in_is_settled_by_whoever_comes_first(night: Night) -> None:
    night.put("a.jpg", EYES[0], patient="P1", eye="left")
    night.take_in()
    with database.session(night.engine) as session:
        uid = session.scalars(select(tables.Patient.uid)).one()
    keep(night, uid, Sent(EYES[0]))
    assert scan(night, EYES[0]).state == "scored" and night.waiting() == []


def test_an_ungradable_photograph_is_kept_with_its_reasons_for_another_try(night: Night) -> None:
    uid = patient(night)
    keep(night, uid, Sent(BLANK, Eye.LEFT))
    kept = scan(night, BLANK)
    assert (kept.state, kept.recapture) == ("ungradable", True) and kept.reasons
    assert standing(night).result == "incomplete"
    assert night.count(tables.Prediction) == 0 and not list(night.objects.list("heatmaps/"))


def test_a_photograph_of_another_patient_is_a_conflict_that_does_not_say_whose_it_is(night: Night) -> None:
    keep(night, patient(night, "Erika"), Sent(EYES[0], Eye.LEFT))
    before = everything(night)
    (refused,) = admit(night, patient(night, "P2"), Sent(EYES[0], Eye.LEFT))
    assert isinstance(refused, AnotherPatient) and "Erika" not in str(refused)
    assert everything(night)[1:] == before[1:]


def test_two_patients_for_one_photograph_at_once_end_with_one_owner(night: Night) -> None:
    uids = [patient(night, f"P{number}") for number in range(4)]
    captures = {uid: admitted(night, uid, Sent(EYES[0], Eye.LEFT))[0] for uid in uids}
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(
            lambda uid: online.keep(
                night.engine, night.objects, uid, [graded(night, captures[uid], EYES[0])], by=night.by, policy=ADA
            ),
            uids,
        )
        conflicts = [one for (one,) in found]
    assert conflicts.count(None) == 1 and night.count(tables.Scan) == 1 and night.count(tables.Outcome) == 1


@pytest.mark.parametrize(
    ("said", "kind"), [(Sent(EYES[0], Eye.RIGHT), AnotherEye), (Sent(EYES[0], Eye.LEFT, "v2"), AnotherVisit)]
)
def test_another_eye_or_visit_of_a_known_photograph_is_a_conflict(
    night: Night, said: Sent, kind: type[InboxConflict]
) -> None:
    uid = patient(night)
    keep(night, uid, Sent(EYES[0], Eye.LEFT, "v1"))
    (refused,) = admit(night, uid, said)
    assert type(refused) is kind and "already registered" in str(refused)


def test_one_photograph_twice_in_a_request_costs_only_the_one_that_contradicts(night: Night) -> None:
    uid = patient(night)
    conflicts = keep(night, uid, Sent(EYES[0], Eye.LEFT), Sent(EYES[0], Eye.LEFT), Sent(EYES[0], Eye.RIGHT))
    assert conflicts[:2] == [None, None] and isinstance(conflicts[2], InboxConflict)
    assert scan(night, EYES[0]).eye == "left" and night.count(tables.Prediction) == 1


def test_nobody_and_who_was_erased_get_no_photograph(night: Night) -> None:
    gone = patient(night, erased_at=NOW)
    for uid, kind in ((uuid4(), UnknownRecord), (gone, Erased)):
        with pytest.raises(kind):
            admit(night, uid, Sent(EYES[0]))
        with pytest.raises(kind):
            capture = Capture(keys.sha256(EYES[0]), "captures/x", "P1", Eye.LEFT, "v1")
            online.keep(night.engine, night.objects, uid, [graded(night, capture, EYES[0])], by=night.by, policy=ADA)
    assert night.count(tables.Scan) == 0 and not list(night.objects.list())


def taken(day: str) -> bytes:
    data, photograph = BytesIO(), Pillow.fromarray(tiny.eye(seed=9))
    exif = photograph.getexif()
    exif.get_ifd(0x8769)[0x9003] = day
    photograph.save(data, "JPEG", exif=exif)
    return data.getvalue()


@pytest.mark.parametrize(
    ("data", "visit"),
    [
        (EYES[0], "2026-11-22"),
        (taken("2026:11:20 23:30:00"), "2026-11-20"),
        (taken("2031:01:01 00:00:00"), "2026-11-22"),
        (taken("1970:01:01 00:00:00"), "2026-11-22"),
    ],
    ids=["of today", "of the day in the file", "a clock that runs ahead", "a clock that was never set"],
)
def test_without_a_visit_it_is_the_day_that_the_night_would_take(night: Night, data: bytes, visit: str) -> None:
    (capture,) = admitted(night, patient(night), Sent(data))
    assert (capture.visit, capture.eye) == (visit, Eye.UNKNOWN)


def test_where_another_version_judged_the_visit_all_of_it_is_asked_for_and_the_new_version_stands(night: Night) -> None:
    uid = patient(night)
    keep(night, uid, Sent(EYES[0], Eye.LEFT, "v1"))
    before = everything(night)
    with pytest.raises(Behind) as asked:
        keep(night, uid, Sent(EYES[1], Eye.RIGHT, "v1"), by=NEXT)
    assert everything(night) == before
    assert [capture.sha256 for capture in asked.value.captures] == [keys.sha256(EYES[0])]
    other = graded(night, asked.value.captures[0], night.objects.get(asked.value.captures[0].key))
    keep(night, uid, Sent(EYES[1], Eye.RIGHT, "v1"), by=NEXT, more=[other])
    outcome = standing(night)
    assert outcome.model_version == "2"
    assert outcome.left_grade is not None and outcome.right_grade is not None
    assert night.count(tables.Prediction) == 3, "what the older version said stays"


def test_photographs_of_one_patient_at_once_and_a_night_among_them_harm_nobody(night: Night) -> None:
    uid = patient(night)
    for number, data in enumerate(EYES):
        night.put(f"{number}.jpg", data, patient="P1", eye="left" if number % 2 else "right")
    gate, told = threading.Barrier(5), []

    def shift(numbers: Sequence[int]) -> None:
        gate.wait()
        for number in numbers:
            told.extend(keep(night, uid, Sent(EYES[number], Eye.LEFT if number % 2 else Eye.RIGHT, "v1")))

    def nightly() -> None:
        gate.wait()
        night.take_in()
        night.score()

    with ThreadPoolExecutor(5) as pool:
        orders = [range(8), range(7, -1, -1), (3, 1, 0, 2, 7, 4, 5, 6), (5, 2, 6, 0)]
        done = [*[pool.submit(shift, order) for order in orders], pool.submit(nightly)]
        for one in done:
            one.result()
    night.score(run_id="after")
    assert set(told) == {None}
    assert night.counts() == {"patients": 1, "scans": 8, "predictions": 8, "outcomes": 1, "quarantine": 0}
    assert night.states() == {"scored": 8}
    wanted = _grades(night)
    assert standing(night).left_grade == max(wanted[keys.sha256(EYES[n])] for n in (1, 3, 5, 7))


def _grades(night: Night) -> dict[str, int]:
    with database.session(night.engine) as session:
        return dict(session.execute(select(tables.Prediction.sha256, tables.Prediction.grade)).tuples().all())


def test_a_store_that_is_away_leaves_no_row(night: Night, settings: Settings) -> None:
    uid = patient(night)
    (capture,) = admitted(night, uid, Sent(EYES[0], Eye.LEFT))
    away = Objects(settings.model_copy(update={"s3_endpoint_url": "http://127.0.0.1:1"}))
    with pytest.raises(StorageUnavailable):
        online.keep(night.engine, away, uid, [graded(night, capture, EYES[0])], by=night.by, policy=ADA)
    assert night.count(tables.Scan) == 0


def test_what_fails_before_the_rows_leaves_none(night: Night) -> None:
    uid = patient(night)
    (capture,) = admitted(night, uid, Sent(EYES[0], Eye.LEFT))
    with pytest.raises(ZeroDivisionError):
        online.keep(
            night.engine, night.objects, uid, [graded(night, capture, EYES[0])], by=night.by, policy=ADA,
            first=lambda _: 1 / 0,  # type: ignore[arg-type, return-value]
        )  # fmt: skip
    assert night.count(tables.Scan) == 0


def test_a_repair_meanwhile_takes_nothing_of_what_is_being_kept(night: Night) -> None:
    """It lists the store between the objects and their rows: the worst moment."""
    uid = patient(night)
    (capture,) = admitted(night, uid, Sent(EYES[0], Eye.LEFT))
    night.objects.put("heatmaps/clarity-dr-1/" + "0" * 64 + ".png", b"an orphan")
    keep(night, uid, Sent(EYES[1], Eye.RIGHT))
    stored, go_on = threading.Event(), threading.Event()

    def between(_: object) -> None:
        stored.set()
        go_on.wait(20)

    def slowly() -> None:
        item = [graded(night, capture, EYES[0])]
        online.keep(night.engine, night.objects, uid, item, by=night.by, policy=ADA, first=between)

    with ThreadPoolExecutor(2) as pool:
        kept = pool.submit(slowly)
        assert stored.wait(20)
        mended = pool.submit(repair.repair, night.engine, night.objects, lambda _: night.grader)
        threading.Timer(0.5, go_on.set).start()
        kept.result()
        assert mended.result().overlays_removed == 1
    for number in (0, 1):
        assert scan(night, EYES[number]).state == "scored"
    with database.session(night.engine) as session:
        for key in session.scalars(select(tables.Prediction.heatmap_key)):
            assert night.objects.exists(key)
    assert night.count(tables.Quarantined) == 0


def test_an_erasure_between_grading_and_keeping_wins(night: Night) -> None:
    uid = patient(night)
    (capture,) = admitted(night, uid, Sent(EYES[0], Eye.LEFT))

    def erased(_: object) -> None:
        with database.session(night.engine) as session:
            session.execute(update(tables.Patient).values(erased_at=func.now()))

    with pytest.raises(Erased):
        online.keep(
            night.engine, night.objects, uid, [graded(night, capture, EYES[0])], by=night.by, policy=ADA, first=erased
        )
    assert night.count(tables.Scan) == 0


def test_a_due_date_counts_from_the_day_of_the_visit(night: Night) -> None:
    keep(night, patient(night), Sent(taken("2026:11:20 10:00:00"), Eye.LEFT))
    outcome = standing(night)
    assert outcome.visit == "2026-11-20" and outcome.due_on is not None and outcome.due_on >= date(2026, 11, 20)
