"""What schemathesis is told of this API beyond its document: what no schema can say."""

import json
import os
import re
from datetime import date
from typing import Any
from uuid import uuid4

import numpy as np
import schemathesis
from hypothesis import strategies as st
from pydantic import ValidationError
from schemathesis.specs.openapi.checks import UseAfterFree, use_after_free

from clarity.days import DAY
from serving.asked import Asked
from serving.upload import LONGEST
from tests import tiny

_PHOTOGRAPHS = st.sampled_from([tiny.jpeg(tiny.eye(160, 120), 70), tiny.jpeg(np.full((64, 64, 3), 255, np.uint8))])
_CURSORS = re.compile(r"[0-9a-f]{64}|[0-9a-f-]{36}")
SCAN, PATIENT = "KNOWN_SCAN", "KNOWN_PATIENT"
"""Variables of the environment: ids of records that are there."""
_KEY = "Idempotency-Key"
_WELL_FORMED = re.compile(r"[\x21-\x7e]{1,200}")
_ID = re.compile(r"[0-9a-f-]+")

schemathesis.openapi.format("binary", _PHOTOGRAPHS)
for kind in ("image/*", "application/octet-stream", "application/dicom"):
    schemathesis.openapi.media_type(kind, _PHOTOGRAPHS)


@schemathesis.hook
def map_case(context: Any, case: Any) -> Any:
    """JSON as text, an object for each image: no schema asserts that. Not before the call: bytes that a hook touched
    there count as what the document forbids.
    """
    body = case.body
    if isinstance(body, dict) and case.path == "/v1/predict/batch":
        images, captures = body.get("images"), body.get("captures")
        if isinstance(images, list) and isinstance(captures, str) and len(captures) <= LONGEST["captures"]:
            body["captures"] = json.dumps([{"field": "macula"}] * len(images))
    return case


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """What is well formed is true as well: a cursor is a page's, a birth past, a form agrees with its address, and a
    key is of one request.
    """
    query, body, key = case.query, case.body, str((case.headers or {}).get(_KEY, ""))
    _there(case)
    if _WELL_FORMED.fullmatch(key):
        case.headers[_KEY] = f"{key}{uuid4().hex}"
    if isinstance(query, dict) and _CURSORS.fullmatch(str(query.get("cursor", ""))):
        del query["cursor"]
    if isinstance(body, dict) and _to_come(str(body.get("birth_date"))):
        body["birth_date"] = "1961-04-30"
    if isinstance(body, dict) and case.path.startswith("/v1/predict"):
        for name in {*body} & {*(query or {})} & {*Asked.model_fields}:
            if _said(name, body[name]) and _said(name, query[name]):
                del query[name]


@schemathesis.check
def use_after_erasure(ctx: Any, response: Any, case: Any) -> None:
    """schemathesis' own use_after_free, which knows no erasure: that there was a patient is answered on, not who."""
    try:
        use_after_free(ctx, response, case)
    except UseAfterFree:
        answer = response.json()
        if case.operation.label == "GET /v1/patients/{id}" and answer["erased_at"] and answer["name"] is None:
            return
        if case.operation.label != "GET /v1/patients/{id}/scans":  # what the policy keeps
            raise


def _there(case: Any) -> None:
    """Every other well-formed id is of a record that is there, so that a route does more than answer 404."""
    id = str((case.path_parameters or {}).get("id", ""))
    known = os.environ[SCAN] if case.path.startswith("/v1/scans/") else os.environ[PATIENT]
    if case.method == "DELETE":
        if id == known:  # it stays, for all the others
            case.path_parameters["id"] = str(uuid4())
    elif len(id) == len(known) and _ID.fullmatch(id) and id[-1] in "02468ace":
        case.path_parameters["id"] = known


def _to_come(day: str) -> bool:
    return re.fullmatch(DAY, day) is not None and date.fromisoformat(day) > date.today()


def _said(name: str, value: Any) -> bool:
    try:
        return getattr(Asked.model_validate({name: value}), name) is not None
    except ValidationError:
        return False
