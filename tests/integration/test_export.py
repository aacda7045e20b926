"""Outcomes out of a real PostgreSQL and back again: CSV, Parquet, FHIR."""

import csv as reader
import io
import json
import stat
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from fhir.resources.R4B import get_fhir_model_class
from sqlalchemy import text
from typer.testing import CliRunner

from clarity.cli import app
from clarity.errors import ExportError
from clarity.screening.export import codes, csv, flat
from clarity.screening.export.write import write
from clarity.settings import Settings
from clarity.storage import database, outgoing, tables
from tests.integration.clinic import NINE, V1, V2, Clinic


@pytest.fixture
def clinic(settings: Settings) -> Iterator[Clinic]:
    engine = database.engine(settings.need("database_url"))
    yield Clinic(engine)
    engine.dispose()


@pytest.fixture
def busy(clinic: Clinic) -> Clinic:
    """A visit of each kind, with names that try to be something else."""
    clinic.join([clinic.seen("left", 0, patient="calm"), clinic.seen("right", 1, patient="calm")])
    clinic.join([clinic.seen("left", 4, patient="=HYPERLINK(1)"), clinic.seen("right", 2, patient="=HYPERLINK(1)")])
    clinic.join(
        [
            clinic.seen("left", 1, 'near, "the" threshold', patient='Ж,"患者"'),
            clinic.seen("right", 0, patient='Ж,"患者"'),
        ]
    )
    clinic.scan("blind", "left", state="ungradable", reasons=["blurred", "too dark"])
    clinic.join([clinic.seen("right", 0, patient="blind")])
    clinic.join([clinic.seen("right", 1, patient="one-eyed")])
    clinic.scan("waiting", "left", state="registered")
    clinic.join([clinic.seen("right", 0, patient="waiting")])
    return clinic


def rows(clinic: Clinic, **selection: Any) -> list[outgoing.VisitRow]:
    with database.session(clinic.engine) as session:
        return list(outgoing.stream(session, **selection))


def exported(clinic: Clinic, form: str, **selection: Any) -> bytes:
    out = io.BytesIO()
    number = write(clinic.engine, form, out, **selection)
    assert number == len(rows(clinic, **selection))
    return out.getvalue()


def resources(clinic: Clinic, **selection: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in exported(clinic, "fhir", **selection).decode().splitlines()]


def of_kind(found: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [resource for resource in found if resource["resourceType"] == kind]


def test_csv_comes_back_as_it_was_stored(busy: Clinic) -> None:
    data = exported(busy, "csv").decode()
    table = list(reader.DictReader(io.StringIO(data, newline="")))
    assert tuple(table[0]) == flat.COLUMNS
    stored = [{name: csv.cell(value) for name, value in flat.values(row).items()} for row in rows(busy)]
    assert table == stored
    assert [csv.plain(row["patient"]) for row in table] == [row.patient for row in rows(busy)]
    assert "'=HYPERLINK(1)" in data and "\n=" not in data


def test_parquet_comes_back_as_it_was_stored_with_its_types(busy: Clinic) -> None:
    table = pq.read_table(io.BytesIO(exported(busy, "parquet"))).to_pylist()
    stored = [flat.values(row) for row in rows(busy)]
    as_lists = [{k: list(v) if isinstance(v, tuple) else v for k, v in row.items()} for row in stored]
    assert table == as_lists
    assert table[0]["visited_on"] == NINE.date() and table[0]["updated_at"].tzinfo is not None


def test_every_fhir_line_is_a_valid_resource_that_comes_back_the_same(busy: Clinic) -> None:
    for told in resources(busy):
        again = get_fhir_model_class(told["resourceType"]).model_validate(told)
        assert json.loads(again.model_dump_json()) == told


def test_a_visit_is_a_report_with_an_observation_an_eye_and_one_of_the_macula(busy: Clinic) -> None:
    found = resources(busy)
    reports, observations = of_kind(found, "DiagnosticReport"), of_kind(found, "Observation")
    assert (len(reports), len(observations), len(of_kind(found, "Device"))) == (6, 18, 1)
    by_id = {resource["id"]: resource for resource in found}
    for report in reports:
        named = [by_id[result["reference"].removeprefix("Observation/")] for result in report["result"]]
        assert {one["subject"]["identifier"]["value"] for one in named} == {report["subject"]["identifier"]["value"]}
        assert report["status"] == "preliminary"
        assert "not a medical device" in report["conclusion"] and "ada 2017.1" in report["conclusion"]
    for observation in observations:
        assert observation["device"]["reference"].removeprefix("Device/") in by_id
        assert ("dataAbsentReason" in observation) != ("valueCodeableConcept" in observation)
        assert observation["effectiveDateTime"] == "2026-11-21"


def test_what_is_referred_to_comes_before_what_refers(busy: Clinic) -> None:
    known: set[str] = set()
    for told in resources(busy):
        named = [told.get("device"), *told.get("result", [])]
        assert all(one["reference"] in known for one in named if one)
        known.add(f"{told['resourceType']}/{told['id']}")


def eye(clinic: Clinic, patient: str, side: str) -> dict[str, Any]:
    code = codes.SEVERITY[side][0]
    (found,) = [
        one
        for one in of_kind(resources(clinic), "Observation")
        if one["subject"]["identifier"]["value"] == patient and one["code"]["coding"][0]["code"] == code
    ]
    return found


def test_left_and_right_have_their_own_codes_and_grades(busy: Clinic) -> None:
    left, right = (eye(busy, "=HYPERLINK(1)", side) for side in ("left", "right"))
    assert (left["code"]["coding"][0]["code"], right["code"]["coding"][0]["code"]) == ("71490-7", "71491-5")
    assert left["code"]["coding"][0]["display"].startswith("Left eye")
    assert left["bodySite"]["coding"][0]["display"] == "Entire left eye"
    assert left["valueCodeableConcept"]["coding"][0]["code"] == "LA18648-8"
    assert right["valueCodeableConcept"]["text"] == "ICDR grade 2, moderate NPDR"


@pytest.mark.parametrize(
    ("patient", "code", "said"),
    [
        ("blind", "unknown", "not gradable: blurred, too dark"),
        ("one-eyed", "not-performed", "missing: no capture"),
        ("waiting", "temp-unknown", "waiting"),
    ],
)
def test_an_eye_without_a_grade_says_why_and_is_never_without_retinopathy(
    busy: Clinic, patient: str, code: str, said: str
) -> None:
    left = eye(busy, patient, "left")
    assert "valueCodeableConcept" not in left
    assert left["dataAbsentReason"]["coding"][0]["code"] == code
    assert left["dataAbsentReason"]["text"] == said


def test_macular_oedema_is_absent_from_every_report_and_said_to_be(busy: Clinic) -> None:
    macula = [one for one in of_kind(resources(busy), "Observation") if one["id"].endswith("macular-oedema")]
    assert len(macula) == 6
    assert {one["dataAbsentReason"]["coding"][0]["code"] for one in macula} == {"unsupported"}
    assert all("not assessed" in one["dataAbsentReason"]["text"] for one in macula)


def test_a_report_is_final_after_its_review_with_the_persons_grade_and_id(clinic: Clinic) -> None:
    sha = clinic.seen("left", 3)
    clinic.join([sha, clinic.seen("right", 0)])
    assert of_kind(resources(clinic), "DiagnosticReport")[0]["status"] == "preliminary"
    clinic.review(sha, "grade", 2, reviewer="dr-7")
    (report,) = of_kind(resources(clinic), "DiagnosticReport")
    assert report["status"] == "final"
    assert report["resultsInterpreter"][0]["identifier"]["value"] == "dr-7"
    left = eye(clinic, "P1", "left")
    assert left["status"] == "final" and left["valueCodeableConcept"]["text"].startswith("ICDR grade 2")
    assert left["method"]["text"].endswith("read by a person")
    clinic.review(sha, "ungradable", reviewer="dr-7")
    left = eye(clinic, "P1", "left")
    assert left["dataAbsentReason"]["text"] == "not gradable: a person cannot grade it"


def test_a_device_names_model_and_software_version_once_a_version(clinic: Clinic) -> None:
    shas = [clinic.seen("left", 0), clinic.seen("right", 0)]
    clinic.join(shas)
    clinic.join([clinic.seen("left", 1, patient="P2", by=V2)], V2)
    devices = of_kind(resources(clinic), "Device")
    assert [device["id"] for device in devices] == ["clarity-dr-1", "clarity-dr-2"]
    assert {version["type"]["text"] for version in devices[0]["version"]} == {"model version", "software version"}


def test_only_what_stands_goes_out_and_a_version_by_name_with_its_past(clinic: Clinic) -> None:
    shas = [clinic.seen("left", 0), clinic.seen("right", 0)]
    clinic.join(shas)
    for sha in shas:
        clinic.say(sha, 3, V2)
    clinic.join(shas, V2)
    assert [(row.model_version, row.superseded) for row in rows(clinic)] == [("2", False)]
    assert [(row.model_version, row.superseded) for row in rows(clinic, model_version="1")] == [("1", True)]
    assert rows(clinic, model_version="9") == []


def test_since_takes_what_was_written_reviewed_or_changed_from_then_on(clinic: Clinic) -> None:
    old, new = clinic.seen("left", 2, patient="old"), clinic.seen("left", 2, patient="new")
    for sha in (old, new):
        clinic.join([sha])
    then = datetime.now(UTC) - timedelta(days=3)
    with database.connection(clinic.engine) as link:
        link.execute(text("UPDATE outcomes SET updated_at = :then"), {"then": then})
    clinic.join([clinic.say(clinic.scan("new", "right"), 0, V1)])
    since = datetime.now(UTC) - timedelta(days=1)
    assert [row.patient for row in rows(clinic, since=since)] == ["new"]
    clinic.review(old, "agree")
    assert {row.patient for row in rows(clinic, since=since)} == {"new", "old"}
    assert len(rows(clinic, since=then)) == 2


def test_nothing_to_export_is_a_file_that_can_be_read(clinic: Clinic) -> None:
    assert exported(clinic, "csv").decode().split("\r\n")[0].split(",") == list(flat.COLUMNS)
    assert pq.read_table(io.BytesIO(exported(clinic, "parquet"))).num_rows == 0
    assert exported(clinic, "fhir") == b""


def test_what_fhir_does_not_admit_is_named_without_the_patient(clinic: Clinic) -> None:
    sha = clinic.seen("left", 2, patient="Secret")
    clinic.join([sha])
    with database.connection(clinic.engine) as link:
        link.execute(text("UPDATE patients SET external_id = ''"))  # FHIR knows no empty string
    with pytest.raises(ExportError, match=r"outcome \d+: ") as caught:
        exported(clinic, "fhir")
    assert "Secret" not in str(caught.value)


def test_memory_is_flat_however_many_visits_go_out(clinic: Clinic) -> None:
    class Nowhere(io.RawIOBase):
        def write(self, data: Any) -> int:
            return len(data)

    def fill(first: int, last: int) -> None:
        with database.session(clinic.engine) as session:
            patients = [tables.Patient(external_id=f"M{number}") for number in range(first, last)]
            session.add_all(patients)
            session.flush()
            said = {"visit": "v", "model": "m", "model_version": "1", "result": "refer", "left_grade": 2}
            reasons = ["left eye: grade 2, moderate NPDR", "right eye: no capture"]
            session.add_all(tables.Outcome(patient_id=one.id, reasons=reasons, **said) for one in patients)

    def peak() -> int:
        tracemalloc.start()
        write(clinic.engine, "csv", Nowhere())  # type: ignore[arg-type]
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    fill(0, 600)
    write(clinic.engine, "csv", Nowhere())  # type: ignore[arg-type]  # what is loaded once does not count
    few = peak()
    fill(600, 2000)
    assert peak() < 1.6 * few


# the command


def test_the_command_writes_a_whole_file_that_only_its_owner_reads(
    busy: Clinic, settings: Settings, tmp_path: Path
) -> None:
    for form in ("csv", "parquet", "fhir"):
        out = tmp_path / f"outcomes.{form}"
        answer = CliRunner().invoke(app, ["export", "--format", form, "--since", "2026-01-01", "--out", str(out)])
        assert answer.exit_code == 0, answer.output
        assert "6 visits" in answer.stderr
        assert out.read_bytes() == exported(busy, form) or form == "parquet"
        assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outcomes.csv", "outcomes.fhir", "outcomes.parquet"]


def test_the_command_streams_to_standard_output(busy: Clinic, settings: Settings) -> None:
    answer = CliRunner().invoke(app, ["export", "--format", "csv"])
    assert answer.stdout_bytes == exported(busy, "csv")
    tomorrow = (date.today() + timedelta(days=2)).isoformat()
    assert CliRunner().invoke(app, ["export", "--format", "fhir", "--since", tomorrow]).stdout == ""


def test_an_export_that_fails_leaves_no_file(clinic: Clinic, settings: Settings, tmp_path: Path) -> None:
    clinic.join([clinic.seen("left", 2)])
    with database.connection(clinic.engine) as link:
        link.execute(text("UPDATE patients SET external_id = ''"))
    answer = CliRunner().invoke(app, ["export", "--format", "fhir", "--out", str(tmp_path / "x.ndjson")])
    assert isinstance(answer.exception, ExportError)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_and_a_format_that_is_none_are_named(
    clinic: Clinic, settings: Settings, tmp_path: Path
) -> None:
    answer = CliRunner().invoke(app, ["export", "--format", "csv", "--out", str(tmp_path / "none" / "x.csv")])
    assert isinstance(answer.exception, ExportError) and "No such file" in str(answer.exception)
    assert CliRunner().invoke(app, ["export", "--format", "xlsx"]).exit_code == 2
    assert CliRunner().invoke(app, ["export", "--format", "csv", "--since", "yesterday"]).exit_code == 2
