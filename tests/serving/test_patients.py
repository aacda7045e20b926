"""Patients over HTTP: a live service with keys, on a real PostgreSQL and a real S3."""

import base64
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text

from clarity.access import keys
from clarity.inference.bundle import Bundle
from clarity.records import Capture, Eye
from clarity.settings import Settings
from clarity.storage import database, scans
from clarity.storage.objects import Objects
from serving import people
from serving.people import ErasureAnswer, PatientAnswer, Patients
from serving.schemas import Problem
from tests import tiny
from tests.serving.live import Live, serving

ERIKA = {
    "name": "Erika Mustermann",
    "birth_date": "1961-04-30",
    "email": "erika@example.org",
    "phone": "+49 171 5550123",
    "history": "Type 2 diabetes.\nHbA1c 7.4 %",
}
SECRETS = {
    "CLARITY_IDENTITY_KEYS": "one:" + base64.b64encode(os.urandom(32)).decode(),
    "CLARITY_SEARCH_KEY": base64.b64encode(os.urandom(32)).decode(),
}


@pytest.fixture(scope="module")
def live(module_settings: Settings, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    yield from _serving(module_settings, bundle, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def removing(module_settings: Settings, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service that removes the clinical record of whom it erases."""
    yield from _serving(module_settings, bundle, tmp_path_factory.mktemp("removing"), "serving:\n  erasure: remove\n")


def _serving(settings: Settings, bundle: Bundle, home: Path, more: str = "{}") -> Iterator[Live]:
    (home / "more.yaml").write_text(more)
    environment = {**settings.environment(), **SECRETS, "CLARITY_HOME": str(home / "serve")}
    options = {"configuration": [home / "more.yaml"], "open_": False}
    with serving(home / "serve", "--bundle", str(bundle.path), **options, **environment) as running:  # type: ignore[arg-type]
        running.headers = {"X-API-Key": key(settings, "admin")}
        yield running


def key(settings: Settings, *scopes: str) -> str:
    engine = database.engine(settings.need("database_url"))
    try:
        return keys.make(engine, f"test {scopes}", scopes, rate_per_minute=100_000, expires_at=None)[1]
    finally:
        engine.dispose()


def ask(live: Live, method: str, path: str, **more: object) -> httpx.Response:
    with live.client as client:
        return client.request(method, path, **more)  # type: ignore[arg-type]


def make(live: Live, **said: object) -> PatientAnswer:
    answer = ask(live, "POST", "/v1/patients/", json=said)
    assert answer.status_code == 201, answer.text
    return PatientAnswer.model_validate(answer.json())


def refused(response: httpx.Response, status: int, code: str) -> Problem:
    problem = Problem.model_validate(response.json())
    assert (response.status_code, problem.code) == (status, code), problem
    assert response.headers["content-type"] == "application/problem+json"
    return problem


def found(live: Live, **asked: object) -> list[UUID]:
    answer = ask(live, "GET", "/v1/patients/", params=asked)
    assert answer.status_code == 200, answer.text
    return [one.id for one in Patients.model_validate(answer.json()).patients]


def executed(settings: Settings, statement: str, **values: object) -> list[tuple[object, ...]]:
    engine = database.engine(settings.need("database_url"))
    try:
        with database.connection(engine) as link:
            return [tuple(row) for row in link.execute(text(statement), values)]
    finally:
        engine.dispose()


# made and read


def test_a_patient_is_answered_as_it_was_said_and_found_where_the_answer_says(live: Live) -> None:
    answer = ask(live, "POST", "/v1/patients/", json={**ERIKA, "external_id": "A17"})
    made = answer.json()
    assert answer.status_code == 201 and answer.headers["location"] == f"/v1/patients/{made['id']}"
    assert {name: made[name] for name in ERIKA} == ERIKA
    assert (made["external_id"], made["age"], made["age_said_in"], made["erased_at"]) == ("A17", None, None, None)
    for path in (answer.headers["location"], f"/patients/{made['id']}"):
        assert ask(live, "GET", path).json() == made


def test_an_age_comes_with_the_year_in_which_it_was_said(live: Live) -> None:
    made = make(live, name="Aged", age=57)
    assert (made.age, made.birth_date) == (57, None) and made.age_said_in == made.created_at.year


def test_a_patient_may_be_nothing_but_an_id(live: Live) -> None:
    made = make(live)
    assert (made.name, made.external_id) == (None, None)


def test_the_examples_of_the_documentation_are_answers(live: Live) -> None:
    PatientAnswer.model_validate(people.PATIENT)
    ErasureAnswer.model_validate(people.ERASED)
    said = {name: value for name, value in people.PATIENT.items() if name in people.PatientRequest.model_fields}
    made = make(live, **{**said, "external_id": "example"})
    changed = ask(live, "PATCH", f"/v1/patients/{made.id}", json=people.CHANGES).json()
    assert changed["history"] is None and changed["phone"] == people.CHANGES["phone"]


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_an_unknown_id_is_404_and_no_id_at_all_is_422(live: Live, method: str) -> None:
    more = {"json": {}} if method == "PATCH" else {}
    refused(ask(live, method, f"/v1/patients/{uuid4()}", **more), 404, "unknown_record")
    problem = refused(ask(live, method, "/v1/patients/Erika", **more), 422, "invalid_parameter")
    assert "Erika" not in problem.detail


@pytest.mark.parametrize(
    "body",
    [
        {"name": ""}, {"name": " x"}, {"name": "x" * 201}, {"name": "a\u0000b"}, {"name": 7}, {"name": ["x"]},
        {"email": "nobody"}, {"email": "a@b@c"}, {"phone": "call me"}, {"phone": "12"}, {"age": "57"}, {"age": -1},
        {"age": 131}, {"age": True}, {"birth_date": "30.4.1961"}, {"birth_date": "2961-04-30"}, {"birth_date": 5},
        {"birth_date": "1961-02-29"}, {"age": 57, "birth_date": "1961-04-30"}, {"history": "x" * 20_001},
        {"external_id": "Erika Mustermann"}, {"external_id": "erased-1"}, {"surname": "Mustermann"},
        {"id": str(UUID(int=1))}, {"name": "\ud800"}, [], "Erika", 5, None,
    ],
)  # fmt: skip
def test_what_is_not_as_documented_is_422_for_a_new_patient_and_a_change(live: Live, body: object) -> None:
    import json

    made = make(live, name="Unchanged")
    for method, path in (("POST", "/v1/patients/"), ("PATCH", f"/v1/patients/{made.id}")):
        sent = ask(live, method, path, content=json.dumps(body), headers={"content-type": "application/json"})
        problem = Problem.model_validate(sent.json())
        assert sent.status_code == 422 and problem.code in ("invalid_parameter", "invalid_patient"), problem
    assert ask(live, "GET", f"/v1/patients/{made.id}").json()["name"] == "Unchanged"


def test_a_change_takes_the_place_of_what_was_and_null_takes_away(live: Live) -> None:
    made = make(live, **ERIKA)
    changed = ask(live, "PATCH", f"/v1/patients/{made.id}", json={"phone": None, "age": 65, "external_id": "Q1"})
    answer = PatientAnswer.model_validate(changed.json())
    assert (answer.phone, answer.age, answer.birth_date, answer.external_id) == (None, 65, None, "Q1")
    assert answer.email == ERIKA["email"] and answer.updated_at > made.updated_at
    assert found(live, external_id="Q1") == [made.id]


def test_an_external_id_given_twice_is_a_conflict_that_says_nothing_of_the_other(live: Live) -> None:
    first, second = make(live, name="First", external_id="twice"), make(live, name="Second")
    for answer in (
        ask(live, "POST", "/v1/patients/", json={"external_id": "twice"}),
        ask(live, "PATCH", f"/v1/patients/{second.id}", json={"external_id": "twice"}),
    ):
        problem = refused(answer, 409, "patient_exists")
        assert str(first.id) not in answer.text and "twice" not in problem.detail


def test_a_patient_of_the_nightly_inbox_is_shown_without_identity_and_can_be_given_one(
    live: Live, module_settings: Settings
) -> None:
    engine = database.engine(module_settings.need("database_url"))
    with database.session(engine) as session:
        capture = Capture("a" * 64, f"captures/aa/{'a' * 64}.jpg", "N1", Eye.LEFT, "v1")
        assert scans.register(session, [capture]) == [None]
    engine.dispose()
    (uid,) = found(live, external_id="N1")
    shown = ask(live, "GET", f"/v1/patients/{uid}").json()
    assert (shown["name"], shown["email"], shown["external_id"]) == (None, None, "N1")
    named = ask(live, "PATCH", f"/v1/patients/{uid}", json={"name": "Nightly Patient"})
    assert named.json()["name"] == "Nightly Patient" and found(live, name="nightly") == [uid]


# the same request again


def test_the_same_request_under_one_key_is_one_patient_also_at_once(live: Live) -> None:
    headers = {"Idempotency-Key": f"k-{uuid4()}"}
    with ThreadPoolExecutor(6) as pool:
        sent = list(pool.map(lambda _: ask(live, "POST", "/v1/patients/", json=ERIKA, headers=headers), range(12)))
    assert {answer.status_code for answer in sent} == {201} and len({answer.text for answer in sent}) == 1
    refused(ask(live, "POST", "/v1/patients/", json={"name": "x"}, headers=headers), 409, "idempotency_conflict")


def test_without_a_key_the_same_request_is_another_patient(live: Live) -> None:
    assert make(live, name="Same").id != make(live, name="Same").id


# searched


def test_a_search_finds_by_what_is_given_and_by_all_of_it(live: Live) -> None:
    made = make(live, name="Jürgen Suchmann", birth_date="1950-01-02", email="J@such.example", phone="0151 99887766")
    other = make(live, name="Jürgen Anders", birth_date="1950-01-02")
    for asked in (
        {"name": "suchmann juergen"},
        {"email": "j@SUCH.example"},
        {"phone": "+49 (151) 9988-7766"},
        {"name": "Jürgen", "birth_date": "1950-01-02", "phone": "015199887766"},
    ):
        assert found(live, **asked) == [made.id]
    assert found(live, name="jurgen", birth_date="1950-01-02") == [other.id, made.id]
    assert found(live, name="Such") == found(live, name="?!") == found(live, external_id="Suchmann") == []


def test_a_misspelt_filter_is_refused_and_does_not_show_everybody(live: Live) -> None:
    refused(ask(live, "GET", "/v1/patients/", params={"nmae": "Erika"}), 422, "invalid_parameter")


@pytest.mark.parametrize(
    "asked", [{"limit": 0}, {"limit": 201}, {"limit": "x"}, {"birth_date": "1961"}, {"cursor": "x"}, {"name": ""}]
)
def test_a_search_that_is_not_as_documented_is_422(live: Live, asked: dict[str, object]) -> None:
    refused(ask(live, "GET", "/v1/patients/", params=asked), 422, "invalid_parameter")
    refused(ask(live, "GET", "/v1/patients/", params={"cursor": str(uuid4())}), 422, "invalid_parameter")


def test_pages_show_everybody_once(live: Live) -> None:
    made = [make(live, name="Pagina Vielmann").id for _ in range(5)]
    seen: list[UUID] = []
    cursor: str | None = None
    while True:
        asked = {"name": "vielmann", "limit": 2} | ({"cursor": cursor} if cursor else {})
        page = ask(live, "GET", "/v1/patients/", params=asked).json()
        seen += [UUID(one["id"]) for one in page["patients"]]
        cursor = page["following"]
        if cursor is None:
            break
    assert seen == made[::-1]


def test_the_access_log_says_whom_a_page_showed(live: Live, module_settings: Settings) -> None:
    made = make(live, name="Gesehen Werden")
    answer = ask(live, "GET", "/v1/patients/", params={"name": "gesehen"})
    query = "SELECT record FROM access_log WHERE request_id = :id ORDER BY id"
    logged = executed(module_settings, query, id=answer.headers["x-request-id"])
    assert logged == [("patients",), (f"patient {made.id}",)]


# erased


def photographed(live: Live, uid: UUID, seed: int) -> str:
    form = {"patient": str(uid), "eye": "left"}
    files = {"image": ("eye.jpg", tiny.jpeg(tiny.eye(seed=seed)))}
    sent = ask(live, "POST", "/v1/predict", data=form, files=files)
    assert sent.status_code == 200, sent.text
    return str(sent.json()["stored"]["scan"])


def test_an_erased_patient_is_told_of_without_who_it_was_and_keeps_its_record(live: Live) -> None:
    made = make(live, **{**ERIKA, "name": "Erased Person"}, external_id="gone-1")
    scan = photographed(live, made.id, 901)
    answer = ask(live, "DELETE", f"/v1/patients/{made.id}")
    done = ErasureAnswer.model_validate(answer.json())
    assert (done.id, done.policy) == (made.id, "pseudonymise") and any("1 scan" in kept for kept in done.kept)
    shown = PatientAnswer.model_validate(ask(live, "GET", f"/v1/patients/{made.id}").json())
    assert shown.erased_at == done.erased_at
    assert (shown.name, shown.email, shown.external_id, shown.history) == (None,) * 4
    assert found(live, name="Erased") == found(live, external_id="gone-1") == []
    refused(ask(live, "PATCH", f"/v1/patients/{made.id}", json={"name": "Back"}), 410, "erased")
    again = ask(live, "DELETE", f"/v1/patients/{made.id}")
    assert (again.status_code, again.json()) == (200, answer.json())
    assert ask(live, "GET", f"/v1/scans/{scan}").json()["patient"] == str(made.id)
    files = {"image": ("eye.jpg", tiny.jpeg(tiny.eye(seed=902)))}
    refused(ask(live, "POST", "/v1/predict", data={"patient": str(made.id)}, files=files), 410, "erased")


def test_a_service_that_removes_takes_photographs_reviews_and_rows(removing: Live, module_settings: Settings) -> None:
    made = make(removing, **ERIKA)
    scan = photographed(removing, made.id, 903)
    assert ask(removing, "POST", f"/v1/scans/{scan}/review", json={"decision": "ungradable"}).status_code == 200
    objects = Objects(module_settings)
    assert [entry.key for entry in objects.list() if scan in entry.key]
    done = ask(removing, "DELETE", f"/v1/patients/{made.id}").json()
    assert done["policy"] == "remove" and any("1 scan with every" in said for said in done["erased"])
    assert not [entry.key for entry in objects.list() if scan in entry.key]
    refused(ask(removing, "GET", f"/v1/scans/{scan}"), 404, "unknown_record")
    assert ask(removing, "GET", f"/v1/patients/{made.id}/scans").json()["scans"] == []
    assert executed(module_settings, "SELECT 1 FROM reviews WHERE sha256 = :sha", sha=scan) == []


def test_a_service_without_identity_keys_says_so_and_loses_nothing(
    module_settings: Settings, bundle: Bundle, tmp_path: Path
) -> None:
    own = {name: value for name, value in module_settings.environment().items() if "IDENTITY" not in name}
    environment = {**own, "CLARITY_HOME": str(tmp_path / "serve")}
    with serving(tmp_path / "serve", "--bundle", str(bundle.path), **environment) as bare:
        problem = refused(ask(bare, "POST", "/v1/patients/", json=ERIKA), 503, "not_configured")
        assert "CLARITY_IDENTITY_KEYS" in problem.detail
        assert ask(bare, "POST", "/v1/patients/", json=ERIKA).headers["retry-after"]
