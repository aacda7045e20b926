"""What dead nights and mishaps leave is mended, shown, or said; mended twice, nothing more happens."""

from collections.abc import Iterator

import pytest
from sqlalchemy import select, update

from clarity.errors import BundleError
from clarity.inference.grader import Grader
from clarity.screening import repair
from clarity.screening.repair import Redrawing, Repaired, side_by_side
from clarity.settings import Settings
from clarity.storage import database, runs, tables
from clarity.storage.objects import Objects
from tests import tiny
from tests.integration.screening_night import Night

EYES = [tiny.jpeg(tiny.eye(seed=seed)) for seed in range(2)]


@pytest.fixture
def night(settings: Settings, grader: Grader) -> Iterator[Night]:
    engine = database.engine(settings.need("database_url"))
    made = Night(engine, Objects(settings), grader)
    for number, data in enumerate(EYES):
        made.put(f"{number}.jpg", data, patient="P1", eye=("left", "right")[number])
    made.take_in()
    made.score()
    with database.session(engine) as session:
        runs.finish(session, "night", "completed", {})
    yield made
    engine.dispose()


def mend(night: Night) -> Repaired:
    return repair.repair(night.engine, night.objects, Redrawing(lambda _: night.grader, 128))


def overlays(night: Night) -> list[str]:
    return [entry.key for entry in night.objects.list("heatmaps/")]


def test_what_is_whole_is_left_alone(night: Night) -> None:
    before = overlays(night), night.counts(), night.states()
    assert set(mend(night).counts().values()) == {0}
    assert (overlays(night), night.counts(), night.states()) == before


def test_an_overlay_without_a_prediction_is_removed_and_no_other(night: Night) -> None:
    kept = overlays(night)
    prefix = kept[0].rpartition("/")[0]
    night.objects.put(f"{prefix}/{'0' * 64}.png", b"orphan")
    night.objects.put(f"{prefix}/{'f' * 64}.png", b"orphan")
    assert mend(night).overlays_removed == 2
    assert overlays(night) == kept


def test_a_lost_overlay_is_made_again_as_it_was(night: Night) -> None:
    first, *_ = overlays(night)
    was = night.objects.get(first)
    night.objects.delete(first)
    assert mend(night).overlays_made == 1
    assert night.objects.get(first) == was
    assert mend(night).overlays_made == 0


def test_an_overlay_of_a_run_that_died_is_opened_and_made_again_where_it_does_not(night: Night) -> None:
    first, *_ = overlays(night)
    night.objects.put(first, night.objects.get(first)[:100])
    with database.session(night.engine) as session:
        session.execute(update(tables.ScreeningRun).values(status="running"))
    done = mend(night)
    assert (done.runs_closed, done.overlays_made) == (1, 1)
    assert repair.opens(night.objects, first)


def test_a_version_whose_bundle_is_gone_is_said_and_costs_the_rest_nothing(night: Night) -> None:
    for key in overlays(night):
        night.objects.delete(key)
    night.objects.put("heatmaps/clarity-dr-1/" + "0" * 64 + ".png", b"orphan")

    def gone(_: object) -> Grader:
        raise BundleError("clarity-dr 1: altered")

    done = repair.repair(night.engine, night.objects, Redrawing(gone, 128))
    assert done.overlays_removed == 1 and done.overlays_made == 0
    assert len(done.failures) == 2 and "altered" in done.failures[0]


def test_a_photograph_without_a_scan_is_shown_to_a_person_and_not_deleted(night: Night) -> None:
    key = f"captures/00/{'0' * 64}.jpg"
    night.objects.put(key, EYES[0])
    assert mend(night).photographs_without_scan == 1
    assert "without a scan" in night.reasons()[key]
    assert night.objects.exists(key)


def test_a_scan_whose_photograph_is_gone_is_quarantined_once(night: Night) -> None:
    with database.session(night.engine) as session:
        scan = session.scalars(select(tables.Scan).limit(1)).one()
    night.objects.delete(scan.key)
    assert mend(night).scans_without_photograph == 1
    assert night.states() == {"quarantined": 1, "scored": 1}
    assert mend(night).scans_without_photograph == 0


def test_two_sequences_are_joined_by_name() -> None:
    left, right = [("a", 1), ("c", 2), ("d", 3)], [("b", 10), ("c", 20)]
    joined = list(side_by_side(iter(left), iter(right)))
    assert joined == [("a", 1, None), ("b", None, 10), ("c", 2, 20), ("d", 3, None)]
    assert list(side_by_side(iter([]), iter([]))) == []
