"""A live service with keys: who is let in, for what, how often, and what the access log then says."""

import base64
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from clarity.access import keys
from clarity.inference.bundle import Bundle
from clarity.settings import Settings
from clarity.storage import database
from serving.schemas import Problem
from tests import tiny
from tests.serving.live import Live, serving

EYE = tiny.jpeg(tiny.eye())
HEX = "0" * 64
NOBODY = "4b9d3a52-6a0e-4c1f-9d5e-1f0c7a2b8e61"
"""No patient's id. Written down: a test has one name in every worker."""
CALLS = [
    ("predict", "POST", "/v1/predict"),
    ("predict", "POST", "/v1/predict/batch"),
    ("predict", "POST", "/v1/patients/"),
    ("predict", "PATCH", f"/v1/patients/{NOBODY}"),
    ("read", "GET", f"/v1/patients/{NOBODY}"),
    ("read", "GET", "/v1/patients/"),
    ("read", "GET", f"/v1/patients/{NOBODY}/scans"),
    ("read", "GET", f"/v1/predict/patient/{NOBODY}/history"),
    ("read", "GET", f"/v1/scans/{HEX}"),
    ("read", "GET", "/v1/worklist"),
    ("read", "GET", "/v1/model"),
    ("review", "POST", f"/v1/scans/{HEX}/review"),
    ("admin", "DELETE", f"/v1/patients/{NOBODY}"),
]
ANY_KEY = ["/ready", "/metrics", "/docs", "/docs/assets/swagger-ui.css", "/openapi.json"]


@pytest.fixture(scope="module")
def live(module_settings: Settings, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    home = tmp_path_factory.mktemp("home")
    cors = home / "cors.yaml"
    cors.write_text("serving:\n  cors_origins: [https://clinic.example.org]\n")
    secrets = {
        "CLARITY_IDENTITY_KEYS": "one:" + base64.b64encode(os.urandom(32)).decode(),
        "CLARITY_SEARCH_KEY": base64.b64encode(os.urandom(32)).decode(),
    }
    environment = {**module_settings.environment(), **secrets, "CLARITY_HOME": str(home / "serve")}
    arguments = ("--bundle", str(bundle.path))
    with serving(home / "serve", *arguments, configuration=[cors], open_=False, **environment) as running:
        yield running


@pytest.fixture(scope="module")
def texts(module_settings: Settings) -> dict[str, str]:
    """A key for each scope."""
    return {scope: make(module_settings, scope) for scope in ("predict", "read", "review", "admin")}


def make(settings: Settings, *scopes: str, rate: int = 100_000) -> str:
    engine = database.engine(settings.need("database_url"))
    try:
        return keys.make(engine, f"test {scopes}", scopes, rate_per_minute=rate, expires_at=None)[1]
    finally:
        engine.dispose()


def ask(live: Live, method: str, path: str, key: str | None = None, **more: object) -> httpx.Response:
    headers = {**({"X-API-Key": key} if key else {}), **more.pop("headers", {})}  # type: ignore[dict-item]
    with live.client as client:
        return client.request(method, path, headers=headers, **more)  # type: ignore[arg-type]


def refused(response: httpx.Response, status: int, code: str) -> Problem:
    problem = Problem.model_validate(response.json())
    assert (response.status_code, problem.status, problem.code) == (status, status, code), problem
    assert response.headers["content-type"] == "application/problem+json"
    return problem


def rows(settings: Settings, request_id: str) -> list[tuple[str, str, str, int]]:
    engine = database.engine(settings.need("database_url"))
    query = text("SELECT key_id, action, record, status FROM access_log WHERE request_id = :id ORDER BY id")
    try:
        with database.connection(engine) as link:
            return [tuple(row) for row in link.execute(query, {"id": request_id})]
    finally:
        engine.dispose()


def test_health_is_open_and_nothing_else_is(live: Live) -> None:
    assert ask(live, "GET", "/health").status_code == 200
    others = [(method, path) for _, method, path in CALLS] + [("GET", path) for path in ANY_KEY]
    others += [
        ("GET", "/nowhere"),
        ("POST", "/health"),
        ("OPTIONS", "/v1/predict"),
        ("GET", "/v1/health"),
        ("GET", "/"),
    ]
    for method, path in others:
        for bare in {path, path.removeprefix("/v1")} - {"/health"} if method != "POST" else {path}:
            response = ask(live, method, bare)
            refused(response, 401, "access_refused")
            challenges = response.headers.get_list("www-authenticate")
            assert [one.split()[0] for one in challenges] == ["Bearer", "Basic"]


@pytest.mark.parametrize("path", ANY_KEY)
def test_any_good_key_opens_what_has_no_scope(live: Live, texts: dict[str, str], path: str) -> None:
    assert ask(live, "GET", path, texts["review"]).status_code == 200


@pytest.mark.parametrize(("scope", "method", "path"), CALLS)
def test_a_key_opens_what_its_scope_is_for_and_admin_all(
    live: Live, texts: dict[str, str], scope: str, method: str, path: str
) -> None:
    for held, key in texts.items():
        answer = ask(live, method, path, key)
        if held in (scope, "admin"):
            assert answer.status_code not in (401, 403), answer.text
        else:
            assert "scope" in refused(answer, 403, "scope_missing").detail


def test_a_key_may_come_as_bearer_header_or_password(live: Live, texts: dict[str, str]) -> None:
    key = texts["read"]
    basic = base64.b64encode(f"anybody:{key}".encode()).decode()
    for headers in ({"authorization": f"Bearer {key}"}, {"authorization": f"basic {basic}"}, {"x-api-key": key}):
        assert ask(live, "GET", "/v1/model", headers=headers).status_code == 200


def test_a_browsers_password_is_not_for_another_sites_page(live: Live, texts: dict[str, str]) -> None:
    basic = "Basic " + base64.b64encode(f":{texts['admin']}".encode()).decode()
    refused(
        ask(live, "GET", "/v1/model", headers={"authorization": basic, "sec-fetch-site": "cross-site"}),
        401,
        "access_refused",
    )
    assert ask(live, "GET", "/v1/model", headers={"authorization": basic, "sec-fetch-site": "same-origin"}).is_success


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer"},
        {"authorization": "Bearer clarity_x_y"},
        {"authorization": "Basic !!!"},
        {"authorization": "Basic " + base64.b64encode(b"\xff\xfe").decode()},
        {"authorization": "Digest username=x"},
        {"authorization": "Bearer clarity_" + "0" * 12 + "_" + "a" * 43},
        {"x-api-key": "clarity_" + "0" * 12 + "_" + "a" * 10_000},
        {"x-api-key": ""},
    ],
)
def test_what_is_no_key_is_refused_and_never_repeated(live: Live, headers: dict[str, str]) -> None:
    problem = refused(ask(live, "GET", "/v1/worklist", headers=headers), 401, "access_refused")
    assert "clarity_" not in problem.detail


def test_a_good_id_with_another_secret_is_unknown(live: Live, texts: dict[str, str]) -> None:
    wrong = texts["read"][:-1] + ("A" if texts["read"][-1] != "A" else "B")
    assert refused(ask(live, "GET", "/v1/worklist", wrong), 401, "access_refused").detail == "key: not known"


def test_a_revoked_key_is_refused_within_five_seconds(live: Live, module_settings: Settings) -> None:
    key = make(module_settings, "read")
    assert ask(live, "GET", "/v1/model", key).is_success
    engine = database.engine(module_settings.need("database_url"))
    revoked = keys.revoke(engine, key.split("_")[1])
    engine.dispose()
    until = time.monotonic() + 5
    while (answer := ask(live, "GET", "/v1/model", key)).is_success and time.monotonic() < until:
        time.sleep(0.2)
    assert refused(answer, 401, "access_refused").detail == f"key {revoked.id}: revoked"


def test_more_than_the_rate_is_told_when_to_come_again(live: Live, module_settings: Settings) -> None:
    key = make(module_settings, "read", rate=20)
    answers = [ask(live, "GET", "/v1/model", key) for _ in range(22)]
    assert [one.status_code for one in answers[:20]] == [200] * 20
    refused(answers[-1], 429, "too_many_requests")
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 3


def test_a_strangers_body_is_not_read(live: Live) -> None:
    address = httpx.URL(live.url)
    head = "POST /v1/predict HTTP/1.1\r\nHost: c\r\nContent-Type: image/jpeg\r\nContent-Length: 30000000\r\n\r\n"
    with socket.create_connection((address.host, address.port or 80), timeout=5) as stranger:
        stranger.sendall(head.encode())
        assert stranger.recv(100).startswith(b"HTTP/1.1 401")


def test_unknown_paths_and_methods_are_told_to_who_has_a_key(live: Live, texts: dict[str, str]) -> None:
    key = texts["read"]
    refused(ask(live, "GET", "/nowhere", key), 404, "unknown_path")
    answer = ask(live, "PUT", f"/v1/patients/{uuid4()}", key)
    refused(answer, 405, "unknown_method")
    assert answer.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH"
    options = ask(live, "OPTIONS", "/v1/patients/", key)
    assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST")
    head = ask(live, "HEAD", "/v1/model", key)
    assert (head.status_code, head.content) == (200, b"") and int(head.headers["content-length"]) > 100


def test_a_slash_more_or_less_at_the_end_is_the_same_path(live: Live, texts: dict[str, str]) -> None:
    for path in ("/v1/patients", "/v1/patients/", "/patients", "/v1/worklist/", "/worklist"):
        assert ask(live, "GET", path, texts["read"]).status_code == 200


def test_what_was_touched_stands_in_the_access_log_when_the_answer_is_there(
    live: Live, texts: dict[str, str], module_settings: Settings
) -> None:
    made = ask(live, "POST", "/v1/patients/", texts["predict"], json={"name": "Erika Mustermann"})
    assert made.status_code == 201, made.text
    uid = made.json()["id"]
    reader, writer = (texts[scope].split("_")[1] for scope in ("read", "predict"))
    logged = rows(module_settings, made.headers["x-request-id"])
    assert (writer, "POST /v1/patients/", f"patient {uid}", 201) in logged
    for path in (f"/v1/patients/{uid}", f"/patients/{uid}"):
        got = ask(live, "GET", path, texts["read"])
        assert got.json()["name"] == "Erika Mustermann"
        assert rows(module_settings, got.headers["x-request-id"]) == [
            (reader, "GET /v1/patients/{id}", f"patient {uid}", 200)
        ]
    missing = ask(live, "GET", f"/v1/patients/{uuid4()}", texts["read"])
    assert [row[3] for row in rows(module_settings, missing.headers["x-request-id"])] == [404]
    stored = ask(
        live, "POST", "/v1/predict", texts["predict"], files={"image": EYE}, data={"patient": uid, "eye": "left"}
    )
    assert stored.status_code == 200, stored.text
    assert (writer, "POST /v1/predict", f"patient {uid}", 200) in rows(module_settings, stored.headers["x-request-id"])
    unstored = ask(live, "POST", "/v1/predict", texts["predict"], files={"image": EYE})
    assert unstored.is_success and rows(module_settings, unstored.headers["x-request-id"]) == []


def test_a_record_whose_reading_cannot_be_logged_is_not_read(
    live: Live, texts: dict[str, str], module_settings: Settings
) -> None:
    made = ask(live, "POST", "/v1/patients/", texts["predict"], json={"name": "Erika Mustermann"}).json()["id"]
    engine = database.engine(module_settings.need("database_url"))
    try:
        with database.connection(engine) as link:
            link.execute(text("ALTER TABLE access_log RENAME TO access_log_away"))
        answer = ask(live, "GET", f"/v1/patients/{made}", texts["read"])
        assert "Mustermann" not in answer.text
        refused(answer, 503, "storage_unavailable")
    finally:
        with database.connection(engine) as link:
            link.execute(text("ALTER TABLE access_log_away RENAME TO access_log"))
        engine.dispose()
    assert ask(live, "GET", f"/v1/patients/{made}", texts["read"]).is_success


def test_pages_of_configured_origins_alone_may_call(live: Live, texts: dict[str, str]) -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "x-api-key"}
    good = ask(live, "OPTIONS", "/v1/predict", headers={"origin": "https://clinic.example.org", **asked})
    assert good.headers["access-control-allow-origin"] == "https://clinic.example.org"
    assert "access-control-allow-credentials" not in good.headers
    bad = ask(live, "OPTIONS", "/v1/predict", headers={"origin": "https://evil.example.org", **asked})
    assert "access-control-allow-origin" not in bad.headers
    real = ask(live, "GET", "/v1/model", texts["read"], headers={"origin": "https://evil.example.org"})
    assert "access-control-allow-origin" not in real.headers


def test_every_answer_has_the_headers_that_keep_browsers_from_harm(live: Live, texts: dict[str, str]) -> None:
    for path, key in (
        ("/health", None),
        ("/v1/model", None),
        ("/v1/model", texts["read"]),
        ("/nowhere", texts["read"]),
    ):
        headers = ask(live, "GET", path, key).headers
        assert headers["x-content-type-options"] == "nosniff" and headers["cache-control"] == "no-store"
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert len(headers["x-request-id"]) == 32


def test_a_request_id_is_ours(live: Live) -> None:
    assert ask(live, "GET", "/health", headers={"x-request-id": "Mustermann"}).headers["x-request-id"] != "Mustermann"


def test_no_key_is_in_the_log(live: Live, texts: dict[str, str]) -> None:
    log = live.log.read_text()
    assert not [text for text in texts.values() if text in log or text.split("_", 2)[2] in log]
    assert "refused 401" in log and "Mustermann" not in log and "Traceback" not in log


def test_without_any_key_only_where_that_is_said_and_on_loopback(tmp_path: Path) -> None:
    import subprocess

    from tests.serving.live import COMMAND, environment

    done = subprocess.run(
        [*COMMAND, "serve", "--open", "--host", "0.0.0.0", "--port", "0"],  # noqa: S104 - it is refused
        env=environment(tmp_path), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1 and "not loopback" in done.stderr
