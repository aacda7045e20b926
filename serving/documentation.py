"""/docs: the OpenAPI document as a page, its script and style from this machine. A clinic's network has no internet."""

import base64
import hashlib
import re
from importlib import resources
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.routing import iter_route_contexts
from starlette.responses import FileResponse

from serving import paths, security
from serving.errors import UnknownPath
from serving.handlers import MEDIA_TYPE
from serving.samples import SAMPLES
from serving.schemas import given

PAGE = "/docs"
_ASSETS = "/docs/assets"
_FILES = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png")
_INLINE = re.compile("<script>(.*?)</script>", re.DOTALL)
_SCHEMES: dict[str, Any] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key of `clarity key create`."},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key."},
    "basic": {"type": "http", "scheme": "basic", "description": "The same key as password, any name: for a browser."},
}
_OPEN = "/health"
_PROBLEM = {"$ref": "#/components/schemas/Problem"}
_PROBLEMS = (_PROBLEM, {"$ref": "#/components/schemas/HTTPValidationError"})
"""The second is FastAPI's, which is never answered."""
_ANYWHERE = {
    "401": "No key, or an unknown, expired or revoked one.",
    "403": "The key has not the scope.",
    "429": "The key's requests of a minute are used up: `Retry-After` says when there is one again.",
    "503": "The service, or one behind it, cannot answer now: `Retry-After` says when to try again.",
}
_OF_A_BODY = {"400": "The body cannot be parsed.", "413": "The body is too large."}
_HEADERS = {
    "401": {"WWW-Authenticate": "How a key may be sent."},
    "429": {"Retry-After": "Seconds."},
}


def offer(app: FastAPI) -> None:
    """Add the page and what it loads: Swagger UI as the package fastapi-offline ships it."""
    # Its files alone: its factory would make an app, and LitServe has made ours.
    folder = Path(str(resources.files("fastapi_offline"))) / "static"
    page = bytes(
        get_swagger_ui_html(
            openapi_url="/openapi.json",
            title=f"{app.title}: API",
            swagger_js_url=f"{_ASSETS}/{_FILES[0]}",
            swagger_css_url=f"{_ASSETS}/{_FILES[1]}",
            swagger_favicon_url=f"{_ASSETS}/{_FILES[2]}",
            swagger_ui_parameters={"validatorUrl": None},  # Swagger's own is on the internet
        ).body
    ).decode()
    policy = security.page([_digest(script) for script in _INLINE.findall(page)])

    @app.get(PAGE, include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(page, headers={"Content-Security-Policy": policy})

    @app.get(_ASSETS + "/{name}", include_in_schema=False)
    async def asset(name: str) -> FileResponse:
        if name not in _FILES:
            raise UnknownPath("path: there is nothing here, see /docs")
        return FileResponse(folder / name, headers={"Cache-Control": "private, max-age=86400"})


def complete(app: FastAPI) -> None:
    """Say in the OpenAPI document what routes do not: errors are problem+json, and which key each needs."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        fresh = app.openapi_schema is None
        schema = generate()
        if fresh:
            needs = _needs(app)
            schema["components"]["securitySchemes"] = _SCHEMES
            for name in ("HTTPValidationError", "ValidationError"):
                schema["components"]["schemas"].pop(name, None)
            for path, operations in schema["paths"].items():
                for method, operation in operations.items():
                    _complete(operation, needs.get((method.upper(), path)), open_=path == _OPEN)
        return schema

    app.openapi = openapi  # type: ignore[method-assign]


def _needs(app: FastAPI) -> dict[tuple[str, str], str]:
    """The scope of each method and path that has one."""
    found = {}
    for route in iter_route_contexts(app.routes):
        scope = next(paths.scopes(getattr(route, "dependant", None)), None)
        if scope is not None and route.path_format is not None:
            found.update({(method, route.path_format): scope for method in route.methods or ()})
    return found


def _complete(operation: dict[str, Any], scope: str | None, *, open_: bool) -> None:
    operation["security"] = [] if open_ else [{name: [scope] if scope else []} for name in _SCHEMES]
    sample = SAMPLES.get(operation.get("operationId", ""))
    if sample is not None:
        operation["x-codeSamples"] = sample.code()
    for parameter in operation.get("parameters", ()):
        parameter["schema"] = given(parameter["schema"])
    answers = operation["responses"]
    told = {} if open_ else _ANYWHERE | (_OF_A_BODY if "requestBody" in operation else {})
    for status, meaning in told.items():
        answers.setdefault(status, {"description": meaning, "content": {MEDIA_TYPE: {"schema": _PROBLEM}}})
    for status, response in answers.items():
        content = response.get("content", {})
        if content.get("application/json", {}).get("schema") in _PROBLEMS:
            content[MEDIA_TYPE] = {"schema": _PROBLEM}
            del content["application/json"]
        for header, meaning in _HEADERS.get(status, {}).items():
            response.setdefault("headers", {})[header] = {"description": meaning, "schema": {"type": "string"}}


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
