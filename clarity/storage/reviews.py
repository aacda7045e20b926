"""What people decided about captures. Append-only; the newest of a capture and a model version counts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import func, select, tuple_, update
from sqlalchemy.orm import Session

from clarity import grades
from clarity.records import ScanResult
from clarity.storage.scans import Visit
from clarity.storage.tables import Outcome, Scan
from clarity.storage.tables import Review as ReviewRow

_SHORTEST = 8
"""Hex digits by which a person may name a capture."""


@dataclass(frozen=True, slots=True)
class Review:
    """A person's decision about one capture."""

    sha256: str
    decision: str
    """"agree" (with the model, also where it says ungradable), "grade" or "ungradable"."""
    reviewer: str
    """A pseudonymous id."""
    grade: int | None = None
    """Of the decision "grade"."""
    comment: str | None = None
    at: datetime | None = None
    """When it was written."""

    def on(self, result: ScanResult) -> ScanResult:
        """The capture as the person leaves it: sure, whatever the model was."""
        if self.decision == "grade" and self.grade is not None:
            return replace(
                result,
                state="scored",
                reasons=(),
                grade=self.grade,
                referable=grades.is_referable(self.grade),
                vision_threatening=grades.is_vision_threatening(self.grade),
                review_reasons=(),
                reviewed=True,
            )
        if self.decision == "ungradable":
            said = result.reasons if result.state == "ungradable" else ("a person cannot grade it",)
            bare = replace(result, grade=None, referable=False, vision_threatening=False)
            return replace(bare, state="ungradable", reasons=said, review_reasons=(), reviewed=True)
        return replace(result, review_reasons=(), reviewed=True)


def add(session: Session, review: Review, model: str, version: str) -> bool:
    """Write a review of what this model version says; False where the newest says the same already."""
    newest = latest(session, [review.sha256], model, version).get(review.sha256)
    if newest is not None and replace(newest, at=None) == replace(review, at=None):
        return False
    session.add(
        ReviewRow(
            sha256=review.sha256,
            model=model,
            model_version=version,
            decision=review.decision,
            grade=review.grade,
            comment=review.comment,
            reviewer=review.reviewer,
        )
    )
    session.flush()
    return True


def latest(session: Session, shas: Sequence[str], model: str, version: str) -> dict[str, Review]:
    """The newest review of each of these captures by people who saw what this model version says."""
    if not shas:
        return {}
    chosen = (
        select(ReviewRow)
        .where(ReviewRow.sha256.in_(list(shas)), ReviewRow.model == model, ReviewRow.model_version == version)
        .order_by(ReviewRow.id)
    )
    return {row.sha256: _review(row) for row in session.scalars(chosen)}  # the last of each wins


def of(session: Session, shas: Sequence[str]) -> dict[str, list[Review]]:
    """Every review of these captures, the oldest first."""
    found: dict[str, list[Review]] = {}
    if shas:
        for row in session.scalars(select(ReviewRow).where(ReviewRow.sha256.in_(list(shas))).order_by(ReviewRow.id)):
            found.setdefault(row.sha256, []).append(_review(row))
    return found


def close(session: Session, visit: Visit, model: str, version: str) -> None:
    """Take a visit off the worklist: people have read what had to be read. The first time counts."""
    session.execute(
        update(Outcome)
        .where(
            tuple_(Outcome.patient_id, Outcome.visit) == visit,
            Outcome.model == model,
            Outcome.model_version == version,
            Outcome.reviewed_at.is_(None),
        )
        .values(reviewed_at=func.now(), updated_at=func.now())
        .execution_options(synchronize_session=False)
    )


def named(session: Session, prefix: str) -> list[Scan]:
    """The captures whose sha256 begins so, two at most; none for fewer than 8 digits."""
    if len(prefix) < _SHORTEST or not set(prefix) <= set("0123456789abcdef"):
        return []
    chosen = select(Scan).where(Scan.sha256 >= prefix, Scan.sha256 < prefix + "g").order_by(Scan.sha256).limit(2)
    return list(session.scalars(chosen))


def _review(row: ReviewRow) -> Review:
    return Review(row.sha256, row.decision, row.reviewer, row.grade, row.comment, row.at)
