"""The edge in one process: whatever a route raises or a stranger sends, a problem leaves."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
from fastapi import APIRouter, Body, FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from clarity import params as parameters
from clarity.errors import ClarityError, UnreadableImage
from clarity.settings import Settings
from serving import app as service
from serving import errors as served
from serving.schemas import Problem
from serving.site import Site
from serving.source import Source

MUSTERMANN = "Erika Mustermann"
RAISES: list[BaseException] = [
    *(kind("said") for kind in served.TABLE),
    ValueError(MUSTERMANN), KeyError(MUSTERMANN), RecursionError(), MemoryError(), UnicodeError(),
    OSError(5, MUSTERMANN),
    ExceptionGroup("several", [UnreadableImage("one"), ValueError(MUSTERMANN)]),
]  # fmt: skip


class Said(BaseModel):
    number: int
    name: str = ""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    """Every route of the service, and one that raises what it is told to. Nothing runs behind it."""
    project = Path(__file__).resolve().parents[2]
    own = Settings(CLARITY_HOME=tmp_path_factory.mktemp("home"), CLARITY_PROJECT=project)  # type: ignore[call-arg]
    loaded = parameters.load(project / "conf/pipeline.yaml")
    made: FastAPI = service.build(Source.of(own, "none", None), Site(own, loaded), open_=True).app
    routes = APIRouter()

    @routes.get("/raises/{number}")
    async def raises(number: int) -> None:
        raise RAISES[number]

    @routes.post("/said")
    async def said(said: Said = Body()) -> dict[str, Any]:  # noqa: B008 - FastAPI's way
        return {"number": said.number}

    made.include_router(routes)
    return made


@pytest.fixture(autouse=True)
def _heard(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.INFO)
    yield
    assert MUSTERMANN not in caplog.text


def ask(app: FastAPI, method: str, path: str, **more: Any) -> httpx.Response:
    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app)  # an exception that leaves the app is raised here
        async with httpx.AsyncClient(transport=transport, base_url="http://clarity") as client:
            return await client.request(method, path, **more)

    return asyncio.run(asked())


def checked(response: httpx.Response) -> Problem:
    problem = Problem.model_validate(response.json())
    assert response.headers["content-type"] == "application/problem+json"
    assert problem.status == response.status_code and problem.request_id == response.headers["x-request-id"]
    return problem


@pytest.mark.parametrize("number", range(len(RAISES)), ids=lambda number: type(RAISES[number]).__name__)
def test_whatever_a_route_raises_a_problem_leaves(app: FastAPI, number: int) -> None:
    problem = checked(ask(app, "GET", f"/raises/{number}"))
    error = RAISES[number]
    if isinstance(error, ClarityError):
        assert (problem.status, problem.code) == (served.situation(error).status, served.situation(error).code)
    else:
        assert (problem.status, problem.code) == (500, "unexpected") and "log" in problem.detail


PATHS = ["/v1/patients/", "/v1/patients/x", "/v1/scans/x/review", "/v1/predict", "/said", "/v1/worklist", "/docs", "/"]


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"]),
    path=st.sampled_from(PATHS) | st.text(st.characters(codec="utf-8"), max_size=40).map(lambda text: f"/{text}"),
    query=st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=3),
    body=st.binary(max_size=200)
    | st.sampled_from([b"{", b"[" * 5_000, b"null", b'{"number": 1e999}', b'{"number": NaN}']),
    kind=st.sampled_from(
        ["application/json", "multipart/form-data", "image/jpeg", "text/plain", "application/x+json", ";"]
    ),
)
def test_no_request_whatsoever_reaches_the_catch_all(
    app: FastAPI, method: str, path: str, query: dict[str, str], body: bytes, kind: str
) -> None:
    address = f"{quote(path)}?{urlencode(query)}"
    answer = ask(app, method, address, content=body, headers={"content-type": kind})
    assert answer.status_code != 500
    if answer.status_code >= 400 and method != "HEAD":
        checked(answer)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"number": 1}', 200, None),
        (b"{", 422, "invalid_parameter"),
        (b"[" * 100_000, 400, "malformed_body"),
        (b'{"name": "' + b"x" * 1_100_000 + b'"}', 413, "body_too_large"),
        (b'{"number": "' + MUSTERMANN.encode() + b'"}', 422, "invalid_parameter"),
        (b"\xff\xfe", 422, "invalid_parameter"),
        (b'{"number": "\xff"}', 400, "malformed_body"),
    ],
)
def test_a_json_body_is_taken_or_told_what_is_wrong_with_it(app: FastAPI, body: bytes, status: int, code: str) -> None:
    answer = ask(app, "POST", "/said", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status
    if code:
        problem = checked(answer)
        assert problem.code == code and MUSTERMANN not in problem.detail


@pytest.mark.parametrize("bad", ["\\ud800", "\\u0000", "a\\u0000b", "\\udfff\\ud800"])
@pytest.mark.parametrize(
    ("method", "path", "field"),
    [("POST", "/v1/patients/", one) for one in ("name", "email", "phone", "history", "external_id", "birth_date")]
    + [
        ("PATCH", "/v1/patients/4b9d3a52-6a0e-4c1f-9d5e-1f0c7a2b8e61", "history"),
        ("POST", f"/v1/scans/{'0' * 64}/review", "comment"),
    ],
)
def test_what_no_database_could_keep_is_refused_before_one_is_asked(
    app: FastAPI, method: str, path: str, field: str, bad: str
) -> None:
    body = f'{{"{field}": "{bad}", "decision": "agree"}}' if "review" in path else f'{{"{field}": "{bad}"}}'
    answer = ask(app, method, path, content=body, headers={"content-type": "application/json"})
    assert checked(answer).status == 422


@pytest.mark.parametrize(
    "query", ["external_id=%00", "name=a%00b", "email=%00", "phone=%00", "cursor=%00", "birth_date=%00"]
)
def test_no_address_brings_a_zero_byte_to_the_database(app: FastAPI, query: str) -> None:
    assert checked(ask(app, "GET", f"/v1/patients/?{query}")).status == 422


def test_a_body_without_a_length_is_cut_off_too(app: FastAPI) -> None:
    async def endless() -> Any:
        for _ in range(200):
            yield b"x" * 10_000

    answer = ask(app, "POST", "/said", content=endless(), headers={"content-type": "application/json"})
    assert checked(answer).code == "body_too_large"


def test_the_document_says_of_each_route_which_key_and_which_problems(app: FastAPI) -> None:
    document = app.openapi()
    assert set(document["components"]["securitySchemes"]) == {"bearer", "header", "basic"}
    assert "HTTPValidationError" not in str(document)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if path == "/health":
                assert operation["security"] == []
                continue
            assert {"401", "403", "429", "503"} <= set(operation["responses"]), (method, path)
            needs = {scope for one in operation["security"] for scopes in one.values() for scope in scopes}
            assert len(needs) == 1 or path in ("/ready", "/metrics", "/raises/{number}", "/said"), (method, path)


def test_the_page_of_the_document_runs_only_the_script_that_stands_in_it(app: FastAPI) -> None:
    page = ask(app, "GET", "/docs")
    policy = page.headers["content-security-policy"]
    assert "script-src 'self' 'sha256-" in policy and "unsafe-inline' 'sha256" not in policy
    assert page.text.count("<script>") == policy.count("'sha256-") == 1
    assert ask(app, "GET", "/docs/assets/swagger-ui.css").headers["content-type"].startswith("text/css")
    assert checked(ask(app, "GET", "/docs/assets/redoc.standalone.js")).status == 404
