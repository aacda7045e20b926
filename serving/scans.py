"""Scans and what people say of them: one, a patient's, a patient's history by visits, and a review."""

import itertools
import json
import re
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request

from clarity.errors import NotJudged
from clarity.screening import review as reviewing
from clarity.screening.since import since
from clarity.storage import database, history, idempotency, known
from clarity.storage.reviews import Review
from serving import addresses, pages
from serving.access import Caller, note, requires
from serving.keyed import Key, refusals
from serving.records import OutcomeAnswer, Sha
from serving.reviewed import ReviewAnswer, Reviewed, ReviewRequest
from serving.scanned import ScanDetail, Scans
from serving.site import Site
from serving.visits import History, VisitAnswer

_READER = re.compile(r"[\w.@+-]{1,128}")
Reader = Annotated[Caller, Depends(requires("read"))]
Reviewer = Annotated[Caller, Depends(requires("review"))]


def router(site: Site) -> APIRouter:
    """``GET /scans/{id}``, ``POST /scans/{id}/review``, ``GET /patients/{id}/scans`` and the history."""
    routes = APIRouter(tags=["scans"])

    @routes.get("/scans/{id}", responses=refusals(404, 422, 503), operation_id="scan", summary="One scan")
    def scan(request: Request, id: Sha, _: Reader) -> ScanDetail:
        """Everything that models and people said of one photograph, and what stands of its visit."""
        note(request, f"scan {id}")
        with database.session(site.engine) as session:
            found = known.scan(session, id)
        note(request, f"patient {found.patient}")
        shown = addresses.scan(site, found.patient, found.scan)
        return ScanDetail(**shown.model_dump(), outcome=OutcomeAnswer.of(found.outcome))

    @routes.post(
        "/scans/{id}/review",
        responses=refusals(404, 409, 422, 503),
        operation_id="review",
        summary="Decide about a scan",
    )
    def review(request: Request, id: Sha, said: ReviewRequest, caller: Reviewer, key: Key = None) -> Reviewed:
        """Agree with the model, give another grade, or say that nobody can grade it; the visit's outcome follows.

        The newest decision about a scan counts; every one is kept. The reviewer is the name of the key.
        """
        note(request, f"scan {id}")
        return _review(site, id, said, caller, key)

    @routes.get(
        "/patients/{id}/scans", responses=refusals(404, 422, 503), operation_id="scans", summary="A patient's scans"
    )
    def scans(
        request: Request,
        id: UUID,
        _: Reader,
        cursor: Annotated[Sha | None, Query(description="``following`` of the page before.")] = None,
        limit: pages.Limit = None,
    ) -> Scans:
        """Every scan of a patient, the newest first, with addresses of photograph and heatmap that expire."""
        note(request, f"patient {id}")
        with database.session(site.engine) as session, pages.checked():
            owner = known.patient(session, id)
            found, following = known.page(session, owner, after=cursor, limit=limit or site.params.serving.page_size)
        return Scans(scans=[addresses.scan(site, one.patient, one.scan) for one in found], following=following)

    @routes.get(
        "/predict/patient/{id}/history",
        responses=refusals(404, 422, 503),
        operation_id="history",
        summary="A patient's history by visits",
    )
    def past(request: Request, id: UUID, _: Reader) -> History:
        """Every visit with its scans, the newest first, and what changed since the one before, eye by eye."""
        note(request, f"patient {id}")
        with database.session(site.engine) as session:
            visits = history.visits(session, known.patient(session, id).id)
        before = [since(older, newer) for newer, older in itertools.pairwise(visits)]
        return History(
            patient=id,
            visits=[
                VisitAnswer.of(visit, changed, [addresses.scan(site, id, one) for one in visit.scans])
                for visit, changed in zip(visits, [*before, None], strict=False)
            ],
        )

    return routes


def _review(site: Site, sha: str, said: ReviewRequest, caller: Caller, key: str | None) -> Reviewed:
    """The decision and what stands after it, in one transaction; sent again under its key, what stands now."""
    reviewer = caller.name if _READER.fullmatch(caller.name) else caller.key_id
    request = json.dumps(["POST /scans/review", sha, said.model_dump()]).encode()
    with database.session(site.engine) as session:
        known.scan(session, sha)
        done = key is not None and idempotency.remember(
            session, key_id=caller.key_id, key=key, request=request, record=sha, lifetime=site.idempotency
        )
        if not done:
            decision = Review(sha, said.decision, reviewer, said.grade, said.comment)
            reviewing.decide(session, decision, site.policy)
        session.expire_all()
        found = known.scan(session, sha)
    outcome = OutcomeAnswer.of(found.outcome)
    own = [one for one in found.scan.reviews if one.reviewer == reviewer and one.decision == said.decision]
    if outcome is None or not own:
        raise NotJudged(f"scan {sha[:12]}…: its visit has no outcome any more")
    return Reviewed(scan=sha, review=ReviewAnswer.of(own[-1]), outcome=outcome, closed=outcome.reviewed_at is not None)
