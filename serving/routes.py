"""The paths that the service answers, and how an error leaves it."""

import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from clarity.errors import ClarityError
from clarity.inference.heatmap import Format
from serving import errors, upload
from serving.reply import AskedSubject, Drawing
from serving.schemas import Answer, Problem
from serving.site import Site
from serving.work import Desk

log = logging.getLogger("clarity.serving")
PREDICT = "/predict"
REQUEST_ID = "X-Request-Id"
_PROBLEM = "application/problem+json"
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_BODY = {
    "required": True,
    "description": "One colour fundus photograph: JPEG, PNG, TIFF, BMP, WebP or DICOM.",
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": [upload.FIELD],
                "properties": {upload.FIELD: {"type": "string", "format": "binary"}},
            }
        },
        **dict.fromkeys(("image/*", "application/octet-stream", "application/dicom"), _BYTES),
    },
}


def router(site: Site) -> APIRouter:
    """``POST /predict``."""
    routes = APIRouter()
    refusals: dict[int | str, dict[str, Any]] = {status: {"model": Problem} for status in (400, 413, 415, 422, 503)}

    @routes.post(
        PREDICT,
        response_model=Answer,
        responses=refusals,
        openapi_extra={"requestBody": _BODY},
        summary="Grade one photograph",
        operation_id="predict",
    )
    async def predict(
        request: Request,
        heatmap: Annotated[
            AskedSubject, Query(description="What it explains; referable: grades 2 to 4.")
        ] = "predicted",
        format: Annotated[Format, Query(description="Of the overlay; WebP has an eighth of the bytes.")] = "png",
    ) -> Response:
        """Grade, calibrated probabilities, screening outcomes, quality and heatmap of one colour fundus photograph.

        An ungradable photograph is answered with 200, its reasons, and no grade. Nothing is stored.
        """
        data = await upload.photograph(request, site.params.serving.max_upload_bytes)
        desk: Desk = request.app.state.desk
        (result,) = await desk.grade([data], Drawing.of(heatmap, format), keep=False)
        if isinstance(result, ClarityError):
            raise result
        return Response(Answer.of(result).model_dump_json(), media_type="application/json")

    return routes


def register_errors(app: FastAPI) -> None:
    """Named errors through the table, HTTP's own errors and crashes as problems too; a request id on every answer."""
    app.add_exception_handler(ClarityError, _named)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _crash)
    app.middleware("http")(_logged)


def document(app: FastAPI) -> None:
    """Say in the OpenAPI document what errors really are: problem+json."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        fresh = app.openapi_schema is None
        schema = generate()
        if fresh:
            for path in schema["paths"].values():
                for operation in path.values():
                    for response in operation["responses"].values():
                        _as_problem(response)
        return schema

    app.openapi = openapi  # type: ignore[method-assign]


def _as_problem(response: dict[str, Any]) -> None:
    content = response.get("content", {})
    if content.get("application/json", {}).get("schema") == {"$ref": "#/components/schemas/Problem"}:
        content[_PROBLEM] = content.pop("application/json")


async def _logged(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    request.state.id = uuid.uuid4().hex
    started = time.perf_counter()
    response = await call_next(request)
    response.headers[REQUEST_ID] = request.state.id
    took = (time.perf_counter() - started) * 1e3
    # The path as the service knows it: a stranger's path may carry anything, and a log line must not.
    known = request.scope["route"].path if "route" in request.scope else "unknown path"
    log.info("%s %s %d %.0f ms id=%s", request.method, known, response.status_code, took, request.state.id)
    return response


async def _named(request: Request, error: Exception) -> Response:
    assert isinstance(error, ClarityError)  # noqa: S101 - registered for it
    return _respond(errors.problem(error, request.state.id))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    detail = f"{request.method}: {error.detail}, see /docs"
    return _respond(errors.plain_problem(error.status_code, detail, request.state.id), dict(error.headers or {}))


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it
    # Which parameter, and not its value: that may be anything, a patient's name too.
    names = sorted({str(one["loc"][-1]) for one in error.errors()})
    return _respond(errors.plain_problem(422, f"{', '.join(names)}: not as documented, see /docs", request.state.id))


async def _crash(request: Request, error: Exception) -> Response:
    request_id = getattr(request.state, "id", uuid.uuid4().hex)
    log.error("id=%s crashed", request_id, exc_info=error)
    return _respond(errors.plain_problem(500, "request: an error of the service, it is in the log", request_id))


def _respond(problem: Problem, headers: dict[str, str] | None = None) -> Response:
    log.info("id=%s refused %d %s: %s", problem.request_id, problem.status, problem.code, problem.detail)
    merged = {**errors.headers(problem.status), **(headers or {}), REQUEST_ID: problem.request_id}
    return JSONResponse(problem.model_dump(), problem.status, headers=merged, media_type=_PROBLEM)
