"""Two model versions on the same photographs and visits: who changes side. The database counts; a list is bounded."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, func, literal_column, select
from sqlalchemy.orm import Session, aliased

from clarity.storage.scans import ScoredBy
from clarity.storage.tables import Outcome, Prediction, Scan

_OLD, _NEW = aliased(Prediction, name="old"), aliased(Prediction, name="new")


@dataclass(frozen=True, slots=True)
class Pair:
    """Photographs that the versions grade so; ``old_grade`` is None where the older has not scored them."""

    old_grade: int | None
    old_referable: bool | None
    new_grade: int
    new_referable: bool
    count: int


@dataclass(frozen=True, slots=True)
class Moved:
    """A photograph on one side of the referable line for one version, on the other for the other."""

    sha256: str
    eye: str
    old_grade: int
    new_grade: int
    old_probability: float
    """Of referable DR, as ``new_probability``."""
    new_probability: float
    new_referable: bool


def pairs(session: Session, old: ScoredBy, new: ScoredBy) -> list[Pair]:
    """All photographs of the newer version, counted by what both say."""
    said = (_OLD.grade, _OLD.referable, _NEW.grade, _NEW.referable)
    chosen = select(*said, func.count()).outerjoin_from(_NEW, _OLD, and_(_OLD.sha256 == _NEW.sha256, _is(_OLD, old)))
    counted = chosen.where(_is(_NEW, new)).group_by(*said)
    return [Pair(*row) for row in session.execute(counted)]


def moved(session: Session, old: ScoredBy, new: ScoredBy, limit: int) -> list[Moved]:
    """Who changes side: newly referable first, then by how far the probability moved."""
    likely = (_OLD.referable_probability, _NEW.referable_probability)
    first = (
        select(_NEW.sha256, _OLD.grade.label("was"), _NEW.grade, *likely, _NEW.referable)
        .add_columns(func.abs(likely[1] - likely[0]).label("distance"))
        .join_from(_NEW, _OLD, and_(_OLD.sha256 == _NEW.sha256, _is(_OLD, old)))
        .where(_is(_NEW, new), _OLD.referable != _NEW.referable)
        .order_by(_NEW.referable.desc(), literal_column("distance").desc(), _NEW.sha256)
        .limit(limit)
        .subquery()
    )
    columns = list(first.c)
    chosen = select(columns[0], Scan.eye, *columns[1:6]).join(Scan, Scan.sha256 == columns[0])
    ordered = chosen.order_by(columns[5].desc(), columns[6].desc(), columns[0])
    return [Moved(*row) for row in session.execute(ordered)]


def visits(session: Session, old: ScoredBy, new: ScoredBy) -> list[tuple[str, str, int]]:
    """Visits with an outcome of both versions, counted by (older result, newer result)."""
    was, now = aliased(Outcome, name="was"), aliased(Outcome, name="now")
    same = and_(
        was.patient_id == now.patient_id,
        was.visit == now.visit,
        was.model == old.model,
        was.model_version == old.version,
    )
    chosen = select(was.result, now.result, func.count()).join_from(now, was, same)
    counted = chosen.where(now.model == new.model, now.model_version == new.version).group_by(was.result, now.result)
    return list(session.execute(counted).tuples())


def _is(table: type[Prediction], by: ScoredBy) -> ColumnElement[bool]:
    return and_(table.model == by.model, table.model_version == by.version, table.fingerprint == by.fingerprint)
