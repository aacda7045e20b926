"""What a person decides about the quarantine, by the real commands: it is done at once, kept, and the night follows."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import Result
from sqlalchemy import select
from typer.testing import CliRunner

from clarity.cli import app
from clarity.errors import AlreadyRunning, InboxError
from clarity.inference.grader import Grader
from clarity.screening import inbox
from clarity.settings import Settings
from clarity.storage import custody, database, keys, tables
from clarity.storage.lock import NightLock
from clarity.storage.objects import Objects
from tests import tiny
from tests.integration.screening_night import Night
from tests.unit.imaging_files import dicom, retina

EYES = [tiny.jpeg(tiny.eye(seed=seed)) for seed in range(4)]


@pytest.fixture
def night(settings: Settings, grader: Grader) -> Iterator[Night]:
    engine = database.engine(settings.need("database_url"))
    yield Night(engine, Objects(settings), grader)
    engine.dispose()


def clarity(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["inbox", *arguments])


def listed(*arguments: str) -> dict[str, Any]:
    done = clarity("list", "--json", *arguments)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def row_of(night: Night, number: int) -> tables.Quarantined:
    with database.session(night.engine) as session:
        return session.get_one(tables.Quarantined, number)


def test_what_waits_is_listed_by_kind_with_its_number_its_reason_and_both_claims(night: Night) -> None:
    night.put("a.jpg", EYES[0], patient="A17", eye="left")
    night.put("b.jpg", EYES[0], patient="B23", eye="right")
    night.put("evil\n\x1b[31mname.jpg", EYES[1])
    night.put("letter", b"Dear colleague")
    night.take_in()
    said = listed()
    assert said["open"] == {"attribution": 1, "conflict": 1, "object": 1}
    (conflict,) = listed("--kind", "conflict")["rows"]
    assert conflict["claimed"] == {"patient": "B23", "eye": "right", "visit": "v1"}
    assert conflict["has_it"] == {"patient": "A17", "eye": "left", "visit": "v1"}
    text = clarity("list").stdout
    assert "claimed for patient B23, right eye, visit v1" in text
    assert "registered for patient A17, left eye, visit v1" in text
    assert "evil\\n\\x1b[31mname.jpg" in text and "\x1b" not in text
    assert "3 wait for a person (1 attribution, 1 conflict, 1 object); 3 shown" in text
    assert clarity("list", "--kind", "nonsense").exit_code == 2


def test_an_attributed_photograph_is_a_capture_at_once_and_the_next_night_scores_it(night: Night) -> None:
    night.put("a.jpg", EYES[0])
    night.take_in()
    (row,) = listed()["rows"]
    done = clarity("resolve", str(row["id"]), "--patient", "A17", "--eye", "OS", "--visit", "v1", "--as", "nurse-3")
    assert done.exit_code == 0, done.output
    (capture,) = night.captures().values()
    assert (capture.patient, capture.eye, capture.visit) == ("A17", "left", "v1")
    assert listed()["rows"] == []
    assert row_of(night, row["id"]).resolution == "attributed by nurse-3: patient A17, left eye, visit v1"
    assert row_of(night, row["id"]).resolved_at is not None
    assert night.take_in() == inbox.Registered(0, 0)
    assert night.score().scored == 1


def test_a_person_contradicts_a_lying_sidecar_and_tags_and_takes_the_files_time(night: Night) -> None:
    data = dicom(retina(64, 48), ImageLaterality="R", StudyDate="20261120")
    night.put("a.dcm", data, patient="wrong", eye="left")
    night.take_in()
    (row,) = listed("--kind", "conflict")["rows"]
    assert clarity("resolve", str(row["id"]), "--patient", "A17", "--eye", "right").exit_code == 0
    (capture,) = night.captures().values()
    assert (capture.patient, capture.eye, capture.visit) == ("A17", "right", "2026-11-20")


@pytest.mark.parametrize(
    ("arguments", "verdict"),
    [
        (("--patient", "Jane Doe", "--eye", "left", "--visit", "v"), "no pseudonymous id"),
        (("--patient", "A17", "--eye", "both", "--visit", "v"), "not left or right"),
        (("--patient", "A17", "--eye", "left"), "the visit is not known"),
        (("--patient", "A17", "--eye", "left", "--captured-at", "2031-01-01"), "in the future"),
        (("--keep",), "nobody else has this photograph"),
        (("--to", "A17"), "nobody else has this photograph"),
    ],
)
def test_what_cannot_be_decided_is_refused_and_stays_open(
    night: Night, arguments: tuple[str, ...], verdict: str
) -> None:
    night.put("a.jpg", EYES[0])
    night.take_in()
    (row,) = listed()["rows"]
    done = clarity("resolve", str(row["id"]), *arguments)
    assert done.exit_code == 1 and isinstance(done.exception, InboxError)
    assert verdict in str(done.exception)
    assert [one["id"] for one in listed()["rows"]] == [row["id"]]
    assert night.captures() == {}


def test_two_decisions_in_one_call_and_none_at_all_are_refused(night: Night) -> None:
    for arguments in ((), ("--keep", "--dismiss"), ("--patient", "A", "--eye", "left", "--to", "B")):
        assert clarity("resolve", "1", *arguments).exit_code == 2


def test_a_row_that_is_not_there_or_closed_is_said(night: Night) -> None:
    night.put("a.jpg", EYES[0])
    night.take_in()
    (row,) = listed()["rows"]
    assert "no such row" in str(clarity("resolve", "999999", "--dismiss").exception)
    clarity("resolve", str(row["id"]), "--dismiss", "--as", "nurse-3")
    again = clarity("resolve", str(row["id"]), "--dismiss")
    assert "dismissed by nurse-3" in str(again.exception)


def test_an_object_that_changed_since_it_was_listed_is_not_attributed(night: Night) -> None:
    night.put("a.jpg", EYES[0])
    night.take_in()
    (row,) = listed()["rows"]
    night.put("a.jpg", EYES[1])
    decide = ("resolve", str(row["id"]), "--patient", "A", "--eye", "left", "--visit", "v")
    assert "another by now" in str(clarity(*decide).exception)
    night.objects.delete("inbox/a.jpg")
    assert "gone by now" in str(clarity(*decide).exception)
    assert night.captures() == {}


def test_what_is_dismissed_stays_closed_however_often_it_is_met(night: Night) -> None:
    night.put("a.jpg", EYES[0])
    night.take_in()
    (row,) = listed()["rows"]
    assert clarity("resolve", str(row["id"]), "--dismiss", "--as", "nurse-3").exit_code == 0
    assert night.take_in() == inbox.Registered(0, 0)
    assert listed()["rows"] == []


def test_a_photograph_that_cannot_be_read_can_be_dismissed_and_not_attributed(night: Night) -> None:
    night.put("a.jpg", b"no photograph", patient="A17", eye="left")
    night.take_in()
    night.score()
    (row,) = listed("--kind", "photograph")["rows"]
    refused = clarity("resolve", str(row["id"]), "--patient", "A17", "--eye", "left", "--visit", "v")
    assert "only --dismiss closes it" in str(refused.exception)
    assert clarity("resolve", str(row["id"]), "--dismiss").exit_code == 0


def conflict(night: Night) -> int:
    """A17's left eye, scored, with a second photograph of that visit; and B23 who claims the first of them."""
    night.put("a.jpg", EYES[0], patient="A17", eye="left")
    night.put("a2.jpg", EYES[1], patient="A17", eye="right")
    night.put("b.jpg", EYES[0], patient="B23", eye="right", visit="v9")
    night.take_in(limit=1)
    night.score()
    (row,) = listed("--kind", "conflict")["rows"]
    return int(row["id"])


def test_who_has_it_keeps_it_and_the_claim_is_not_met_again(night: Night) -> None:
    number = conflict(night)
    assert clarity("resolve", str(number), "--keep", "--as", "nurse-3").exit_code == 0
    assert night.take_in() == inbox.Registered(0, 0)
    assert listed()["rows"] == []
    assert {capture.patient for capture in night.captures().values()} == {"A17"}
    assert row_of(night, number).resolution == "kept by nurse-3: patient A17, left eye, visit v1"


def test_a_photograph_given_to_the_other_patient_changes_both_outcomes_by_the_next_night(night: Night) -> None:
    number = conflict(night)
    assert night.outcomes()["A17"].left_grade is not None
    assert clarity("resolve", str(number), "--to", "B23", "--as", "nurse-3").exit_code == 0
    found = {capture.sha256: capture for capture in night.captures().values()}
    moved = found[keys.sha256(EYES[0])]
    assert (moved.patient, moved.eye, moved.visit) == ("B23", "right", "v9")
    night.score()
    outcomes = night.outcomes()
    assert outcomes["A17"].left_grade is None and outcomes["A17"].right_grade is not None
    assert outcomes["B23"].right_grade is not None and outcomes["B23"].left_grade is None
    assert night.waiting() == []
    assert night.counts()["predictions"] == 2  # nothing was predicted twice
    assert night.take_in() == inbox.Registered(0, 0)
    assert "from patient A17, left eye, visit v1 to patient B23, right eye, visit v9" in str(
        row_of(night, number).resolution
    )


def test_a_visit_that_loses_its_only_photograph_is_incomplete_at_once_and_in_the_worklist(night: Night) -> None:
    night.put("a.jpg", EYES[0], patient="A17", eye="left")
    night.put("b.jpg", EYES[0], patient="B23", eye="left")
    night.take_in(limit=1)
    night.score()
    (row,) = listed()["rows"]
    assert clarity("resolve", str(row["id"]), "--to", "C4", "--eye", "right", "--visit", "v5").exit_code == 0
    left = night.outcomes()["A17"]
    assert (left.result, left.priority, left.left_grade, left.worst_grade) == ("incomplete", 3, None, None)
    assert left.reasons == [custody.NONE_LEFT]
    night.score()
    assert night.outcomes()["C4"].right_grade is not None
    with database.session(night.engine) as session:
        assert set(session.scalars(select(tables.Patient.external_id))) == {"A17", "C4"}


def test_a_photograph_is_not_given_to_who_has_it_nor_while_a_night_runs(night: Night) -> None:
    number = str(conflict(night))
    done = clarity("resolve", number, "--to", "A17")
    assert "have it already" in str(done.exception)
    with NightLock(night.engine):
        assert isinstance(clarity("resolve", number, "--to", "B23").exception, AlreadyRunning)
    assert len(listed()["rows"]) == 1


def test_an_attribution_that_turns_out_to_be_anothers_photograph_becomes_a_conflict(night: Night) -> None:
    night.put("a.jpg", EYES[0])
    night.take_in()
    (row,) = listed()["rows"]
    night.put("b.jpg", EYES[0], patient="A17", eye="left")
    found, _ = inbox.waiting(night.objects, night.engine, "inbox/", after="inbox/a.jpg.json")
    assert [one.key for one in found] == ["inbox/b.jpg"]
    from datetime import UTC, datetime

    from clarity.screening.attribution import Attributions

    attributions = Attributions(night.objects, now=datetime.now(UTC))
    inbox.register(night.objects, night.engine, found, attributions, max_bytes=10**6, run_id=None)
    done = clarity("resolve", str(row["id"]), "--patient", "B23", "--eye", "left", "--visit", "v1")
    assert "already another's" in str(done.exception)
    (row,) = listed()["rows"]
    assert (row["kind"], row["claimed"]["patient"], row["has_it"]["patient"]) == ("conflict", "B23", "A17")
    assert clarity("resolve", str(row["id"]), "--keep").exit_code == 0
