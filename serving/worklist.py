"""``GET /worklist``: what a person looks at first, in the order of the nightly report."""

import re
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BeforeValidator, Field
from starlette.requests import Request

from clarity.days import DAY
from clarity.storage import database, worklist
from clarity.storage.worklist import Cursor, Filters
from serving import pages
from serving.access import Caller, note, requires
from serving.keyed import refusals
from serving.records import Result
from serving.site import Site
from serving.waiting import Worklist, WorklistEntry

Reader = Annotated[Caller, Depends(requires("read"))]


def _written(value: str | date) -> str | date:
    if isinstance(value, str) and not _WRITTEN.fullmatch(value):
        raise ValueError("not a day as 2026-11-22")
    return value


_WRITTEN = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
Day = Annotated[date, BeforeValidator(_written), Field(json_schema_extra={"not": {"pattern": "^0000"}})]
"""As it is documented: pydantic would also take seconds since 1970. RFC 3339 has a year 0, and the calendar none."""


def router(site: Site) -> APIRouter:
    """``GET /worklist``."""
    routes = APIRouter(tags=["worklist"])

    @routes.get("/worklist", responses=refusals(422, 503), operation_id="worklist", summary="What waits for a person")
    def entries(
        request: Request,
        _: Reader,
        priority: Annotated[
            int | None, Query(ge=0, le=3, description="0 vision-threatening, 1 referable, 2 uncertain, 3 unfinished.")
        ] = None,
        due_by: Annotated[Day | None, Query(description="Due on that day or before it.")] = None,
        result: Annotated[Result | None, Query(description="Of the visit.")] = None,
        cursor: Annotated[
            str | None,
            Query(
                pattern=rf"^[0-3]_({DAY}|none)_[0-9]{{1,18}}$",
                description="``following`` of the page before.",
                examples=["1_2027-05-22_812"],
            ),
        ] = None,
        limit: pages.Limit = None,
    ) -> Worklist:
        """Visits that people have not read yet: vision-threatening first, then referable, uncertain, unfinished.

        The earliest due first. What is reviewed between two pages shifts nothing.
        """
        note(request, "worklist")
        with pages.checked(), database.session(site.engine) as session:
            after = Cursor.parse(cursor) if cursor is not None else None
            page = worklist.page(
                session, after, Filters(priority, due_by, result), limit or site.params.serving.page_size
            )
        following = str(page.following) if page.following else None
        return Worklist(entries=[WorklistEntry.of(entry) for entry in page.entries], following=following)

    return routes
