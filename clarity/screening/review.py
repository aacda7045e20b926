"""A person's decision about a capture, and what follows from it for the visit."""

import re
from dataclasses import dataclass

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from clarity import grades
from clarity.errors import NotJudged, ReviewError
from clarity.records import Outcome
from clarity.screening import outcome
from clarity.screening.policy import Policy
from clarity.storage import results, reviews, tables
from clarity.storage.reviews import Review
from clarity.storage.scans import ScoredBy, Visit

_REVIEWER = re.compile(r"[\w.@+-]{1,128}")


@dataclass(frozen=True, slots=True)
class Decided:
    """What a review led to."""

    outcome: Outcome
    closed: bool
    """People have read all that the visit needed people for: it is off the worklist."""


def decide(session: Session, review: Review, policy: Policy) -> Decided:
    """Write a review and join the visit's outcome again, with what people said in the place of the model.

    The prediction stays as it is. ``review.sha256`` may be the first digits, 8 at least. The visit is closed once
    ``outcome.is_reviewed``. The same review again changes nothing. Raises ReviewError: the capture is not
    known or the decision is none; NotJudged: no model has judged it yet.
    """
    _check(review)
    scan = _scan(session, review.sha256)
    visits = results.lock_visits(session, [scan.sha256])
    by, run_id = _judge(session, scan)
    if review.decision == "agree" and scan.state == "scored" and not _said(session, scan.sha256, by):
        raise NotJudged(f"capture {scan.sha256[:12]}…: {by.model} {by.version} has not scored it yet")
    visit: Visit = (scan.patient_id, scan.visit)
    said = Review(scan.sha256, review.decision, review.reviewer, review.grade, review.comment)
    reviews.add(session, said, by.model, by.version)
    captures = results.scan_results(session, [visit], by)[visit]
    joined = outcome.join(visits[visit], scan.visit, captures, policy)
    results.save_outcomes(session, {visit: joined}, by, run_id)
    closed = outcome.is_reviewed(captures, policy)
    if closed:
        reviews.close(session, visit, by.model, by.version)
    return Decided(joined, closed)


def _check(review: Review) -> None:
    if review.decision not in tables.DECISIONS:
        raise ReviewError(f"review: decision {review.decision!r}, not one of {', '.join(tables.DECISIONS)}")
    if (review.decision == "grade") != (review.grade is not None):
        raise ReviewError(f"review: decision {review.decision!r} with grade {review.grade}, not a decision")
    if review.grade is not None and not grades.is_grade(review.grade):
        raise ReviewError(f"review: grade {review.grade!r}, not one of the ICDR grades 0 to 4")
    if not _REVIEWER.fullmatch(review.reviewer):
        raise ReviewError("review: reviewer, not a pseudonymous id of letters, digits and . _ @ + -")
    if review.comment is not None and (len(review.comment) > 4000 or "\0" in review.comment):
        raise ReviewError(f"review: comment of {len(review.comment)} characters, too long or not text")


def _scan(session: Session, prefix: str) -> tables.Scan:
    found = reviews.named(session, prefix.lower())
    if len(found) != 1:
        verdict = "more than one capture begins so" if found else "no such capture (8 digits of its sha256 at least)"
        raise ReviewError(f"capture {prefix[:12]}…: {verdict}")
    if found[0].state not in ("scored", "ungradable"):
        raise NotJudged(f"capture {prefix[:12]}…: {found[0].state}, no model has judged it")
    return found[0]


def _said(session: Session, sha: str, by: ScoredBy) -> bool:
    table = tables.Prediction
    said = select(table.id).where(table.sha256 == sha, table.model == by.model, table.model_version == by.version)
    return session.scalar(said.limit(1)) is not None


def _judge(session: Session, scan: tables.Scan) -> tuple[ScoredBy, str | None]:
    """The model version whose outcome of the visit stands, with the run that wrote it."""
    table, prediction = tables.Outcome, tables.Prediction
    of_visit = tuple_(table.patient_id, table.visit) == (scan.patient_id, scan.visit)
    standing = session.scalar(select(table).where(of_visit, ~table.superseded).order_by(table.id.desc()).limit(1))
    if standing is None:
        raise NotJudged(f"capture {scan.sha256[:12]}…: its visit has no outcome yet")
    chain = (
        select(prediction.fingerprint)
        .join(tables.Scan, tables.Scan.sha256 == prediction.sha256)
        .where(tables.Scan.patient_id == scan.patient_id, tables.Scan.visit == scan.visit)
        .where(prediction.model == standing.model, prediction.model_version == standing.model_version)
        .order_by(prediction.id.desc())
        .limit(1)
    )
    by = ScoredBy(standing.model, standing.model_version, session.scalar(chain) or "")
    return by, standing.run_id
