"""The client against a live service with keys: every method, and what the service refuses."""

import itertools
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from clarity.client import Client, answers, errors
from clarity.inference.bundle import Bundle
from clarity.settings import Settings
from clarity.storage import keys
from tests import tiny
from tests.serving.online import Online, online

SEEDS = itertools.count(1)


@pytest.fixture(scope="module")
def service(module_settings: Settings, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Online]:
    with online(module_settings, bundle, tmp_path_factory.mktemp("client")) as running:
        yield running


@pytest.fixture
def client(service: Online) -> Iterator[Client]:
    with Client(service.live.url, service.key("admin")) as made:
        yield made


def eye() -> bytes:
    """Another photograph each time."""
    return tiny.jpeg(tiny.eye(seed=next(SEEDS)))


def test_a_patient_is_made_found_changed_and_erased(client: Client) -> None:
    made = client.create_patient(name="Erika Mustermann", birth_date=date(1961, 4, 30), external_id="A17")
    assert (made.name, made.birth_date, made.external_id) == ("Erika Mustermann", date(1961, 4, 30), "A17")
    assert client.patient(made.id) == made
    assert [one.id for one in client.patients(name="mustermann")] == [made.id]
    changed = client.update_patient(made.id, phone="+49 171 5550 123", birth_date=None)
    assert (changed.phone, changed.birth_date, changed.name) == ("+49 171 5550 123", None, "Erika Mustermann")
    done = client.erase_patient(made.id)
    assert done.id == made.id
    assert done.erased and done.kept
    assert client.patient(made.id).name is None
    with pytest.raises(errors.Gone):
        client.update_patient(made.id, name="Erika")


def test_patients_are_read_over_pages(client: Client) -> None:
    made = {client.create_patient(external_id=f"page-{number}").id for number in range(5)}
    assert made <= {one.id for one in client.patients(limit=2)}


def test_a_photograph_without_a_patient_is_graded_and_kept_nowhere(client: Client) -> None:
    found = client.predict(eye(), heatmap="referable", format="webp")
    assert (found.outcome, found.stored) == ("graded", None)
    assert found.grade in range(5)
    assert found.heatmap is not None
    assert found.heatmap.picture is not None
    assert (found.heatmap.subject, found.heatmap.media_type) == ("referable", "image/webp")
    assert found.heatmap.picture[8:12] == b"WEBP"


def test_a_photograph_of_a_patient_is_a_scan_with_a_history_and_a_worklist(client: Client, tmp_path: Path) -> None:
    patient, photograph = client.create_patient(name="Max Mustermann"), tmp_path / "eye.jpg"
    photograph.write_bytes(eye())
    found = client.predict(photograph, patient=patient.id, eye="left", field="macula", visit_type="follow-up")
    assert found.stored is not None
    assert found.stored.scan == keys.sha256(photograph.read_bytes())
    assert client.predict(photograph, patient=patient.id).stored == found.stored
    (scan,) = client.scans(patient.id)
    assert (scan.id, scan.eye, scan.field, scan.visit_type) == (found.stored.scan, "left", "macula", "follow-up")
    assert scan.capture_url is not None and scan.heatmap_url is not None
    assert client.download(scan.capture_url) == photograph.read_bytes()
    assert client.download(scan.heatmap_url).startswith(b"\x89PNG")
    whole = client.scan(scan.id)
    assert (whole.grade, whole.outcome) == (found.grade, found.stored.outcome)
    (visit,) = client.history(patient.id).visits
    assert [one.id for one in visit.scans] == [scan.id]
    assert visit.since is None
    entry = next(entry for entry in client.worklist() if entry.patient == patient.id)
    assert [one.scan for one in entry.scans] == [scan.id]


def test_a_review_is_kept_once_and_moves_the_outcome(client: Client) -> None:
    patient = client.create_patient().id
    stored = client.predict(eye(), patient=patient, eye="right").stored
    assert stored is not None
    done = client.review(stored.scan, "grade", grade=4, comment="NVD")
    assert done.outcome is not None and done.review is not None
    assert (done.outcome.right_grade, done.review.grade) == (4, 4)
    assert [(one.decision, one.grade, one.comment) for one in client.scan(stored.scan).reviews] == [("grade", 4, "NVD")]


def test_of_a_batch_a_bad_photograph_costs_itself_alone(client: Client) -> None:
    patient = client.create_patient().id
    sent = [eye(), b"no photograph", eye()]
    said = [{"eye": "left"}, {"eye": "left"}, {"eye": "right"}]
    one, bad, other = client.predict_batch(sent, patient=patient, captures=said)
    assert isinstance(bad, errors.RequestInvalid)
    assert bad.code == "unreadable_image"
    assert isinstance(one, answers.Prediction) and isinstance(other, answers.Prediction)
    assert one.stored is not None and other.stored is not None
    assert (one.stored.eye, other.stored.eye) == ("left", "right")


def test_the_service_says_how_it_is(client: Client) -> None:
    model, ready = client.model(), client.ready()
    assert (model.name, model.version[:7]) == ("clarity-dr", "bundle-")
    assert model.card.startswith("#")
    for part in (ready.model, ready.database, ready.objects):
        assert part is not None
        assert part.ok, part
    assert client.health().status == "ok"
    assert "clarity_" in client.metrics()


def test_what_is_refused_is_an_error_with_code_sentence_and_request(service: Online, client: Client) -> None:
    nobody = "0b0c6f0e-6d0f-4c58-9f0a-1f5f6c1d2e3f"
    with pytest.raises(errors.NotFound) as caught:
        client.patient(nobody)
    assert (caught.value.code, nobody in caught.value.detail) == ("unknown_record", True)
    assert caught.value.request_id and caught.value.request_id in service.live.log.read_text()
    with pytest.raises(errors.RequestInvalid, match="unreadable_image"):
        client.predict(b"x" * 1000)
    client.create_patient(external_id="twice")
    with pytest.raises(errors.Conflict):
        client.create_patient(external_id="twice")


def test_a_photograph_of_another_patient_is_a_conflict(client: Client) -> None:
    photograph = eye()
    client.predict(photograph, patient=client.create_patient().id, eye="left")
    with pytest.raises(errors.Conflict, match="another_patients"):
        client.predict(photograph, patient=client.create_patient().id, eye="left")


def test_without_a_key_with_a_wrong_one_and_with_too_little_scope_it_says_so(service: Online) -> None:
    for key in ("", "clarity_000000000000_" + "a" * 43):
        with Client(service.live.url, key) as client, pytest.raises(errors.KeyRefused):
            client.ready()
    with Client(service.live.url, service.key("read")) as client, pytest.raises(errors.ScopeMissing):
        client.create_patient(name="Erika")


def test_a_used_up_rate_is_waited_for_where_that_is_safe(service: Online) -> None:
    with Client(service.live.url, service.key("read", rate=60)) as client:
        answered = [client.health().status for _ in range(3)] + [len(list(client.worklist())) for _ in range(62)]
    assert len(answered) == 65
