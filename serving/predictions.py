"""``POST /predict`` and ``POST /predict/batch``: photographs in, results out; stored first where a patient is named."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from clarity.errors import ClarityError
from clarity.storage import keys
from serving import errors, examples, metrics, upload
from serving.access import Caller, note, requires
from serving.asked import Asked, CaptureAsked
from serving.kept import Keeper, once
from serving.keyed import Key, refusals
from serving.records import Batch, BatchItem, Predicted
from serving.schemas import Answer, given
from serving.site import Site

IMAGES = "images"
_PHOTOGRAPH = {"type": "string", "format": "binary", "description": "JPEG, PNG, TIFF, BMP, WebP or DICOM."}
_UUID = "[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
_STATUSES = (400, 404, 409, 410, 413, 415, 422, 503)
Sender = Annotated[Caller, Depends(requires("predict"))]


def router(site: Site) -> APIRouter:
    """Both routes."""
    routes = APIRouter(tags=["predictions"])
    serving = site.params.serving

    @routes.post(
        "/predict",
        response_model=Predicted,
        responses=refusals(*_STATUSES),
        openapi_extra={"requestBody": _body(upload.FIELD, _PHOTOGRAPH, raw=True)},
        summary="Grade one photograph",
        operation_id="predict",
    )
    async def predict(request: Request, asked: Annotated[Asked, Query()], caller: Sender, key: Key = None) -> Response:
        """Grade, calibrated probabilities, screening outcomes, quality and heatmap of one colour fundus photograph.

        With a patient the photograph, its heatmap, the prediction and the visit's outcome are stored before the
        answer; without, nothing is. The same photograph of the same patient is the same scan. An ungradable photograph
        is answered with 200, its reasons, and no grade: that is never "no DR".
        """
        with metrics.timed("total"):
            found = await upload.parts(request, serving.max_upload_bytes, 1)
            whole = asked.also(found.fields)
            (answer,) = await _answers(site, request, whole, whole.each(None, 1), found.files, caller, key, "predict")
            if isinstance(answer, ClarityError):
                raise answer
            return Response(answer.model_dump_json(), media_type="application/json")

    @routes.post(
        "/predict/batch",
        response_model=Batch,
        responses=refusals(*_STATUSES),
        openapi_extra={"requestBody": _body(IMAGES, _several(serving.max_images), raw=False)},
        summary="Grade several photographs",
        operation_id="predict_batch",
    )
    async def batch(request: Request, asked: Annotated[Asked, Query()], caller: Sender, key: Key = None) -> Response:
        """An answer or a problem for each file, in their order, all by one model version.

        What is said of the photographs holds for all of them; ``captures`` says it of each. A bad photograph costs
        itself alone: the status is 200, and each item has its own.
        """
        with metrics.timed("total"):
            found = await upload.parts(request, serving.max_upload_bytes, serving.max_images, IMAGES)
            whole = asked.also(found.fields)
            said = whole.each(found.fields.get("captures"), len(found.files))
            answers = await _answers(site, request, whole, said, found.files, caller, key, "batch")
            items = [_item(answer, request.state.id) for answer in answers]
            return Response(Batch(items=items).model_dump_json(), media_type="application/json")

    return routes


async def _answers(
    site: Site,
    request: Request,
    asked: Asked,
    said: Sequence[CaptureAsked],
    files: Sequence[bytes],
    caller: Caller,
    key: str | None,
    kind: str,
) -> list[Predicted | ClarityError]:
    desk = request.app.state.desk
    if asked.patient is None:
        results = await desk.grade(files, asked.drawing, keep=False)
        return [one if isinstance(one, ClarityError) else _unstored(one) for one in results]
    note(request, f"patient {asked.patient}")
    whole = [one.model_dump(mode="json") for one in (asked, *said)]
    unique = once(caller.key_id, key, kind, whole, [keys.sha256(data) for data in files])
    keeper = Keeper(site, desk, asked.patient, asked.drawing, asked.inline, unique)
    return await keeper.answers([one.sent(data) for one, data in zip(said, files, strict=True)])


def _unstored(reply: Any) -> Predicted:
    return Predicted(**Answer.of(reply).model_dump(), stored=None)


def _item(answer: Predicted | ClarityError, request_id: str) -> BatchItem:
    if isinstance(answer, ClarityError):
        problem = errors.problem(answer, request_id)
        return BatchItem(status=problem.status, answer=None, problem=problem)
    return BatchItem(status=200, answer=answer, problem=None)


def _several(most: int) -> dict[str, Any]:
    return {"type": "array", "items": _PHOTOGRAPH, "minItems": 1, "maxItems": most}


def _text(shape: dict[str, Any]) -> dict[str, Any]:
    """A text of a form. An empty one, as of a page's field that nobody filled in, counts as not given."""
    told = given(shape)
    if "enum" in told:
        return {**told, "enum": [*told["enum"], ""]}
    pattern = _UUID if told.pop("format", None) == "uuid" else told["pattern"].removeprefix("^").removesuffix("$")
    return {**told, "pattern": f"^({pattern})?$"}


def _body(field: str, files: dict[str, Any], *, raw: bool) -> dict[str, Any]:
    """The request body as the document shows it."""
    texts = Asked.model_json_schema()["properties"]
    names = ("patient", "eye", "field", "visit", "visit_type")
    properties = {field: files, **{name: _text(texts[name]) for name in names}}
    if not raw:
        example = '[{"eye": "left", "field": "macula"}]'
        properties["captures"] = {
            "type": "string",
            "maxLength": upload.LONGEST["captures"],
            "contentMediaType": "application/json",
            "contentSchema": {"type": "array", "items": CaptureAsked.model_json_schema()},
            "description": "A JSON list, an object for each file: eye, field, visit, visit_type.",
            "examples": [example],
        }
    form = {
        "schema": {"type": "object", "required": [field], "properties": properties},
        "example": {"patient": examples.PATIENT, "eye": "left"},
    }
    bodies = {kind: {"schema": _BYTES} for kind in ("image/*", "application/octet-stream", "application/dicom")}
    return {
        "required": True,
        "description": "Colour fundus photographs.",
        "content": {"multipart/form-data": form, **(bodies if raw else {})},
    }


_BYTES = {"type": "string", "format": "binary"}
