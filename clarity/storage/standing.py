"""Which of several model versions' outcomes of a visit stands, and which review goes over to it."""

from collections.abc import Sequence
from typing import Protocol

from sqlalchemy import ColumnElement, and_, func, select, tuple_, update
from sqlalchemy.orm import Session, aliased

from clarity.storage.scans import Visit
from clarity.storage.tables import Outcome, Prediction, Scan

REVIEWED = ("result", "worst_grade", "left_grade", "right_grade", "priority")
"""What a person has looked at: where one of these changes, the visit is open again."""


class Version(Protocol):
    """A model version with its imaging chain."""

    @property
    def model(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...


def settle(session: Session, visits: Sequence[Visit], by: Version) -> None:
    """Let the outcomes that ``by`` has just written for these visits stand, where it has scored all of the visit.

    Half a visit's outcome stays behind the whole one of an earlier version until the rest is scored, so that nobody
    who was referred leaves the worklist meanwhile. The caller has locked the patients.
    """
    rivals = _rivals(session, visits, by)
    if not rivals:
        return
    unfinished = _unfinished(session, rivals, by)
    whole = [visit for visit in rivals if visit not in unfinished]
    _mark(session, _own(list(unfinished), by), superseded=True)
    _carry_reviews(session, whole, by)
    _mark(session, _others(whole, by), superseded=True)
    _mark(session, _own(whole, by), superseded=False)


def _rivals(session: Session, visits: Sequence[Visit], by: Version) -> list[Visit]:
    if not visits:
        return []
    chosen = select(Outcome.patient_id, Outcome.visit).where(_others(visits, by), ~Outcome.superseded).distinct()
    return [(patient, visit) for patient, visit in session.execute(chosen)]


def _unfinished(session: Session, visits: Sequence[Visit], by: Version) -> set[Visit]:
    """Visits with a capture of which this version has still to say something."""
    said = select(Prediction.id).where(
        Prediction.sha256 == Scan.sha256,
        Prediction.model == by.model,
        Prediction.model_version == by.version,
        Prediction.fingerprint == by.fingerprint,
    )
    chosen = select(Scan.patient_id, Scan.visit).where(
        tuple_(Scan.patient_id, Scan.visit).in_(visits), Scan.state.in_(("registered", "scored")), ~said.exists()
    )
    return {(patient, visit) for patient, visit in session.execute(chosen)}


def _carry_reviews(session: Session, visits: Sequence[Visit], by: Version) -> None:
    old = aliased(Outcome)
    alike = [getattr(old, name).is_not_distinct_from(getattr(Outcome, name)) for name in REVIEWED]
    session.execute(
        update(Outcome)
        .where(
            _own(visits, by),
            Outcome.reviewed_at.is_(None),
            old.patient_id == Outcome.patient_id,
            old.visit == Outcome.visit,
            old.id != Outcome.id,
            ~old.superseded,
            old.reviewed_at.is_not(None),
            *alike,
        )
        .values(reviewed_at=old.reviewed_at)
        .execution_options(synchronize_session=False)
    )


def _mark(session: Session, which: ColumnElement[bool], *, superseded: bool) -> None:
    session.execute(
        update(Outcome)
        .where(which, Outcome.superseded.is_not(superseded))
        .values(superseded=superseded, updated_at=func.now())
        .execution_options(synchronize_session=False)
    )


def _of(visits: Sequence[Visit]) -> ColumnElement[bool]:
    return tuple_(Outcome.patient_id, Outcome.visit).in_(visits)


def _own(visits: Sequence[Visit], by: Version) -> ColumnElement[bool]:
    return and_(_of(visits), Outcome.model == by.model, Outcome.model_version == by.version)


def _others(visits: Sequence[Visit], by: Version) -> ColumnElement[bool]:
    return and_(_of(visits), tuple_(Outcome.model, Outcome.model_version) != (by.model, by.version))
