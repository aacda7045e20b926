"""What arrives in the inbox becomes a capture of somebody's eye, or waits for a person with a reason."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import pytest
from sqlalchemy import func, select

from clarity.records import Eye
from clarity.screening import inbox
from clarity.screening.attribution import Attributions
from clarity.settings import Settings
from clarity.storage import database, keys, quarantine, tables
from clarity.storage.objects import Objects
from tests import tiny
from tests.integration.screening_night import MAX_BYTES, NOW, Night
from tests.unit.imaging_files import dicom, retina
from tests.unit.test_tags import jpeg_of_camera

EYES = [tiny.jpeg(tiny.eye(seed=seed)) for seed in range(4)]
PATTERN = r"(?:.*/)?(?P<patient>[^/_]+)_(?P<captured_at>\d{8})_(?P<eye>OD|OS)\.(?:jpg|dcm)"


@pytest.fixture
def night(settings: Settings) -> Iterator[Night]:
    """Without a grader: nothing is scored here."""
    engine = database.engine(settings.need("database_url"))
    yield Night(engine, Objects(settings), None)  # type: ignore[arg-type]
    engine.dispose()


def photograph(**tags: object) -> bytes:
    return dicom(retina(64, 48), **tags)


# who says whose it is


def test_dicom_tags_attribute_a_photograph_that_nobody_else_speaks_of(night: Night) -> None:
    night.put("1.dcm", photograph(ImageLaterality="L", PatientID="A17", StudyDate="20261120", Manufacturer="Topcon"))
    assert night.take_in().registered == 1
    (capture,) = night.captures().values()
    assert (capture.patient, capture.eye, capture.visit) == ("A17", Eye.LEFT, "2026-11-20")
    assert (capture.camera, capture.key[-4:]) == ("Topcon", ".dcm")


def test_a_pattern_of_the_configuration_reads_file_names(night: Night) -> None:
    night.put("clinic-7/A17_20261120_OS.jpg", EYES[0])
    night.put("clinic-7/A17_20261120_OX.jpg", EYES[1])
    assert night.take_in(patterns=(PATTERN,)) == inbox.Registered(1, 1)
    (capture,) = night.captures().values()
    assert (capture.patient, capture.eye, capture.visit) == ("A17", Eye.LEFT, "2026-11-20")


def test_a_sidecar_goes_before_a_manifest_tags_and_a_name_and_each_fills_what_the_others_leave_open(
    night: Night,
) -> None:
    data = photograph(ImageLaterality="L", PatientID="4711", StudyDate="20261119", Manufacturer="Optos")
    night.put("x/B2_20261118_OS.dcm", data, patient="A17", visit="spring", visit_type="follow-up")
    night.objects.put(
        "inbox/x/manifest.csv", b"file,patient,eye,field,visit\nB2_20261118_OS.dcm,C3,left,macula,autumn\n"
    )
    assert night.take_in(patterns=(PATTERN,)).registered == 1
    (capture,) = night.captures().values()
    assert (capture.patient, capture.visit, capture.visit_type) == ("A17", "spring", "follow-up")
    assert (capture.field, capture.camera) == ("macula", "Optos")
    assert capture.captured_at == datetime(2026, 11, 19, tzinfo=UTC)


def test_time_and_camera_of_a_jpeg_come_from_its_exif(night: Night) -> None:
    night.put("a.jpg", jpeg_of_camera("2026:11:20 09:15:30", "+01:00"), patient="A", eye="left", visit="v")
    night.take_in()
    (capture,) = night.captures().values()
    assert (capture.camera, capture.captured_at) == ("Canon CR-2 AF", datetime(2026, 11, 20, 8, 15, 30, tzinfo=UTC))


@pytest.mark.parametrize("clock", ["1980:01:01 00:00:00", "2099:01:01 00:00:00"])
def test_a_cameras_clock_that_cannot_be_right_costs_the_time_and_not_the_photograph(night: Night, clock: str) -> None:
    night.put("a.jpg", jpeg_of_camera(clock), patient="A", eye="left", visit="v")
    assert night.take_in().registered == 1
    (capture,) = night.captures().values()
    assert capture.captured_at is None


def test_a_visit_that_only_a_wrong_clock_would_name_is_not_known(night: Night) -> None:
    night.put("a.jpg", jpeg_of_camera("2099:01:01 00:00:00"), patient="A", eye="left", visit="")
    night.take_in()
    assert "in the future" in night.reasons()["inbox/a.jpg"]


# sidecars that lie


@pytest.mark.parametrize(
    ("name", "data", "verdict"),
    [
        ("a.dcm", photograph(ImageLaterality="R"), "the sidecar says left, the DICOM tags say right"),
        ("A_20261120_OD.jpg", EYES[0], "the sidecar says left, the file name says right"),
    ],
)
def test_two_that_name_different_eyes_wait_for_a_person_and_both_are_named(
    night: Night, name: str, data: bytes, verdict: str
) -> None:
    night.put(name, data, patient="A", eye="left")
    night.take_in(patterns=(PATTERN,))
    row = night.open()[f"inbox/{name}"]
    assert verdict in row.reason
    assert row.kind == "conflict"
    assert night.captures() == {}


@pytest.mark.parametrize(
    ("said", "kind", "verdict"),
    [
        ({"captured_at": "2031-01-01"}, "attribution", "in the future"),
        ({"eye": "third"}, "attribution", "not left or right"),
        ({"patient": ""}, "attribution", "patient: missing"),
        ({"patient": "jane@example.org"}, "attribution", "no pseudonymous id"),
        ({"bytes": 17}, "object", "announces 17: cut short, or another file"),
        ({"bytes": "many"}, "object", "announces no number"),
        ({"sha256": "0" * 64}, "object", "announces another: damaged"),
    ],
)
def test_a_sidecar_that_cannot_be_believed_is_looked_at_again_each_night(
    night: Night, said: dict[str, object], kind: str, verdict: str
) -> None:
    good = {"patient": "A", "eye": "left"}
    night.put("a.jpg", EYES[0], **(good | said))
    assert night.take_in() == inbox.Registered(0, 1)
    assert night.take_in() == inbox.Registered(0, 1)
    row = night.open()["inbox/a.jpg"]
    assert verdict in row.reason and row.kind == kind
    night.put("a.jpg", EYES[0], **good, bytes=len(EYES[0]), sha256=keys.sha256(EYES[0]).upper())
    assert night.take_in() == inbox.Registered(1, 0)
    assert night.open() == {}


def test_an_upload_that_was_cut_short_is_settled_by_the_whole_one(night: Night) -> None:
    night.put("a.jpg", EYES[0][:1000], patient="A", eye="left", bytes=len(EYES[0]))
    night.take_in()
    night.put("a.jpg", EYES[0], patient="A", eye="left", bytes=len(EYES[0]))
    assert night.take_in() == inbox.Registered(1, 0)
    assert night.open() == {}


def test_another_bad_content_of_the_same_name_takes_the_earlier_ones_place(night: Night) -> None:
    night.put("a.jpg", EYES[0])
    night.take_in()
    night.put("a.jpg", EYES[1])
    night.take_in()
    with database.session(night.engine) as session:
        rows = session.scalars(select(tables.Quarantined).order_by(tables.Quarantined.id)).all()
    assert [(row.resolved_at is None, row.resolution) for row in rows] == [(False, quarantine.CHANGED), (True, None)]


# one photograph, one capture


def test_a_copy_that_nobody_speaks_of_is_the_capture_that_it_copies(night: Night) -> None:
    night.put("a.jpg", EYES[0], patient="A", eye="left")
    night.put("z/copy of a.jpg", EYES[0])
    night.take_in(limit=1)
    assert night.open() == {}
    assert len(night.captures()) == 1


def test_a_second_patients_claim_is_kept_with_both_claims_and_said_in_no_reason(night: Night) -> None:
    night.put("a.jpg", EYES[0], patient="A17", eye="left")
    night.put("b.jpg", EYES[0], patient="B23", eye="right", visit="v9")
    night.take_in(limit=1)
    row = night.open()["inbox/b.jpg"]
    assert row.kind == "conflict"
    assert row.claim == {"patient": "B23", "eye": "right", "visit": "v9"}
    assert "A17" not in row.reason and "B23" not in row.reason
    assert [c.patient for c in night.captures().values()] == ["A17"]


# bad input


def test_what_is_no_photograph_and_nobodys_is_an_object(night: Night) -> None:
    night.put("letter.docx", b"PK\3\4 Dear colleague")
    night.put("empty", b"")
    night.put("huge.jpg", b"\xff\xd8\xff" + bytes(MAX_BYTES), patient="A", eye="left")
    night.take_in()
    rows = night.open()
    assert {row.kind for row in rows.values()} == {"object"}
    assert "more than the" in rows["inbox/huge.jpg"].reason
    assert rows["inbox/huge.jpg"].sha256 is None  # it was not read
    assert list(night.objects.list("captures/")) == []


NAMES = (
    "a'b\"c.jpg", "new\nline.jpg", "cr\rtab\t.jpg", "眼底.jpg", "عين اليسرى.jpg", "глаз.jpg", "👁.jpg", " lead.jpg",
    "trail.jpg ", "%2e%2e%2fx.jpg", "a+b&c=d?e#f.jpg", "..jpg", "...", "‮gpj.exe", "{0}%s$(x)`y`;--.jpg", "<b>&amp;.jpg",
    "e\u0301.jpg", "\u00e9.jpg", "*?[].jpg",
)  # fmt: skip


def test_names_of_every_script_with_quotes_newlines_and_path_tricks_arrive_under_their_own_sidecars(
    night: Night,
) -> None:
    small = [tiny.jpeg(np.full((8, 8, 3), number, np.uint8)) for number in range(len(NAMES))]
    for number, (name, data) in enumerate(zip(NAMES, small, strict=True)):
        night.put(f"tricks/{name}", data, patient=f"P{number}", eye="left")
    assert night.take_in(limit=2) == inbox.Registered(len(NAMES), 0)
    said = {capture.sha256: capture.patient for capture in night.captures().values()}
    assert said == {keys.sha256(data): f"P{number}" for number, data in enumerate(small)}
    assert night.take_in(limit=2) == inbox.Registered(0, 0)


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 1000])
def test_however_a_listing_is_cut_into_pages_each_photograph_is_met_once_with_its_sidecar(
    night: Night, limit: int
) -> None:
    """Also beside folders that begin like files, which SeaweedFS lists at another place than AWS does."""
    names = ["a.b", "a/x", "a-b", "a b", "a.jpg", "a.jpg-1", "a.jpg.d/z", "a.jsom", "b/a.jpg", "b/a.jpg.jpg", "b/c"]
    for number, name in enumerate(names):
        said = {"patient": f"P{number}", "eye": "left"} if number % 2 else {}
        night.put(name, tiny.jpeg(np.full((8, 8, 3), number, np.uint8)), **said)
    met: list[inbox.Found] = []
    after: str | None = ""
    while after is not None:
        found, after = inbox.waiting(night.objects, night.engine, "inbox/", after=after, limit=limit)
        met += found
    assert sorted(one.key for one in met) == sorted(f"inbox/{name}" for name in names)
    has = {f"inbox/{name}" for number, name in enumerate(names) if number % 2}
    assert {one.key for one in met if one.sidecar is not None and one.sidecar >= 0} <= has
    assert not {one.key for one in met if one.sidecar == -1} & has
    assert limit < 1000 or not [one for one in met if one.sidecar is None]


def test_a_dismissed_object_stays_closed_until_its_content_changes(night: Night) -> None:
    night.put("a.jpg", EYES[0])
    night.take_in()
    with database.session(night.engine) as session:
        (row,) = quarantine.open_rows(session)
        quarantine.resolve(session, row.id, f"{quarantine.DISMISSED} by test")
    assert night.take_in() == inbox.Registered(0, 0)
    assert night.open() == {}
    with database.session(night.engine) as session:  # also where a night that began earlier notes it now
        quarantine.note(session, [quarantine.Refused(row.key, "again", row.etag)], None)
    assert night.open() == {}
    night.put("a.jpg", EYES[1])
    assert night.take_in() == inbox.Registered(0, 1)
    assert list(night.open()) == ["inbox/a.jpg"]


class Counted(Objects):
    """Counts what is asked of the store."""

    asked: dict[str, int]

    def get(self, key: str) -> bytes:
        self._count("get")
        return super().get(key)

    def put(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        self._count("put")
        super().put(key, data, content_type)

    def size(self, key: str) -> int | None:
        self._count("size")
        return super().size(key)

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[object]:  # type: ignore[override]
        self._count("list")
        return super().list(prefix, after=after)

    def _count(self, what: str) -> None:
        self.asked[what] = self.asked.get(what, 0) + 1


def test_a_photograph_costs_one_get_and_one_put_and_its_sidecar_one_get(settings: Settings, night: Night) -> None:
    for number in range(40):
        said = {"patient": f"P{number}", "eye": "left"} if number < 20 else {}
        night.put(f"{number:02d}.jpg", tiny.jpeg(np.full((8, 8, 3), number, np.uint8)), **said)
    rows = "".join(f"{number}.jpg,P{number},left,v\n" for number in range(20, 40))
    night.objects.put("inbox/manifest.csv", f"file,patient,eye,visit\n{rows}".encode())
    counted = Counted(settings)
    counted.asked = {}
    found, _ = inbox.waiting(counted, night.engine, "inbox/")
    attributions = Attributions(counted, now=NOW)
    done = inbox.register(counted, night.engine, found, attributions, max_bytes=MAX_BYTES, run_id=None)
    assert done == inbox.Registered(40, 0)
    assert counted.asked == {"list": 2, "get": 40 + 20 + 1, "put": 40}


def test_many_tiny_files_of_one_folder_are_taken_in_with_one_manifest(night: Night) -> None:
    """See docs/reference.md for the time of 100,000."""
    count = 600
    rows = []
    for number in range(count):
        night.objects.put(f"inbox/m/{number:05d}.jpg", b"\xff\xd8\xff" + number.to_bytes(3, "big"))
        rows.append(f"{number:05d}.jpg,P{number // 2:05d},{'left' if number % 2 else 'right'},v\n")
    night.objects.put("inbox/m/manifest.csv", ("file,patient,eye,visit\n" + "".join(rows)).encode())
    assert night.take_in(limit=64) == inbox.Registered(count, 0)
    with database.session(night.engine) as session:
        assert session.scalar(select(func.count()).select_from(tables.Patient)) == count // 2


def test_a_sidecar_of_another_kind_is_refused_with_its_size_and_its_type(night: Night) -> None:
    night.put("a.jpg", EYES[0])
    night.put("b.jpg", EYES[1])
    night.objects.put("inbox/a.jpg.json", b"[" * 100_000)
    night.objects.put("inbox/b.jpg.json", json.dumps(["left"]).encode())
    night.take_in()
    assert "not JSON" in night.reasons()["inbox/a.jpg"]
    assert "list, not a JSON object" in night.reasons()["inbox/b.jpg"]
