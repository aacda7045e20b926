"""What reports read of a night: aggregates, each one query by an index on the run, whatever the size of the tables."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, func, literal_column, select
from sqlalchemy.orm import Session

from clarity.storage.scans import ScoredBy
from clarity.storage.tables import Outcome, Prediction, Quarantined, Scan, ScreeningRun

BINS = 20
"""Of the histogram of quality scores, over [0, 1]."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run as its row says, with its duration by the database's own clock."""

    kind: str
    started_at: datetime
    seconds: float


@dataclass(frozen=True, slots=True)
class Seen:
    """The distributions of a night that are watched, a number a photograph, in no order."""

    qualities: list[float]
    scores: list[float]
    """Referable probabilities of the graded ones."""
    cameras: list[str | None]
    patients: int


@dataclass(frozen=True, slots=True)
class Graded:
    """Predictions that a run wrote, of one grade and one precision."""

    grade: int
    precision: str
    count: int
    abstained: int


@dataclass(frozen=True, slots=True)
class Joined:
    """Outcomes that a run wrote last, of one result, priority and policy."""

    result: str
    priority: int
    policy: str
    count: int
    due_on: date | None
    """The earliest."""


@dataclass(frozen=True, slots=True)
class Refusals:
    """Open quarantine that a run met, of one kind and one reason but for its names and numbers, with an example."""

    kind: str
    reason: str
    key: str
    count: int
    fresh: int
    """Met by this run for the first time."""


def run(session: Session, run_id: str) -> Run | None:
    """One run."""
    until = func.coalesce(ScreeningRun.finished_at, func.now())
    seconds = func.extract("epoch", until - ScreeningRun.started_at)
    chosen = select(ScreeningRun.kind, ScreeningRun.started_at, seconds).where(ScreeningRun.id == run_id)
    row = session.execute(chosen).one_or_none()
    return Run(row[0], row[1], max(0.0, float(row[2]))) if row else None


def graded(session: Session, run_id: str) -> list[Graded]:
    """A run's predictions, counted by grade and precision."""
    abstains = func.count().filter(_abstains())
    chosen = select(Prediction.grade, Prediction.precision, func.count(), abstains)
    counted = chosen.where(Prediction.run_id == run_id).group_by(Prediction.grade, Prediction.precision)
    return [Graded(*row) for row in session.execute(counted.order_by(Prediction.grade, Prediction.precision))]


def review_reasons(session: Session, run_id: str, limit: int = 20) -> list[tuple[str, int]]:
    """Why the model abstained in a run, the most frequent first; reasons that differ in numbers alone are one."""
    said = func.jsonb_array_elements_text(Prediction.review_reasons).table_valued("value").lateral()
    general = _general(said.c.value)
    chosen = select(func.min(said.c.value), func.count()).select_from(Prediction).join(said, literal_column("true"))
    counted = chosen.where(Prediction.run_id == run_id, _abstains()).group_by(general)
    return list(session.execute(counted.order_by(func.count().desc(), general).limit(limit)).tuples())


def joined(session: Session, run_id: str) -> list[Joined]:
    """A run's outcomes, counted by result, priority and policy."""
    by = (Outcome.result, Outcome.priority, Outcome.policy)
    counted = select(*by, func.count(), func.min(Outcome.due_on)).where(Outcome.run_id == run_id).group_by(*by)
    return [Joined(*row) for row in session.execute(counted.order_by(Outcome.priority, Outcome.result))]


def ungradable(session: Session, run_id: str) -> tuple[int, int]:
    """Photographs that a run found ungradable: how many, and how many to photograph again."""
    counted = select(func.count(), func.count().filter(Scan.recapture))
    row = session.execute(counted.where(Scan.settled_by == run_id, Scan.state == "ungradable")).one()
    return row[0], row[1]


def ungradable_reasons(session: Session, run_id: str) -> list[tuple[str, int]]:
    """Why, the most frequent first; a photograph may have several reasons."""
    said = func.jsonb_array_elements_text(Scan.reasons).table_valued("value").lateral()
    chosen = select(said.c.value, func.count()).select_from(Scan).join(said, literal_column("true"))
    counted = chosen.where(Scan.settled_by == run_id, Scan.state == "ungradable").group_by(said.c.value)
    return list(session.execute(counted.order_by(func.count().desc(), said.c.value).limit(20)).tuples())


def refusals(session: Session, run_id: str, since: datetime) -> list[Refusals]:
    """What a run put, or met again, in the quarantine and is open, by kind and reason, the largest group first.

    The reasons of a folder of files without attribution differ in the files' names alone: they are one group.
    """
    table = Quarantined
    name = func.regexp_replace(table.key, "^.*/", "")
    general = _general(func.replace(table.reason, name, "…")).label("general")
    chosen = select(
        table.kind,
        func.min(table.reason + func.chr(1) + table.key),  # one row's own reason and key, in one aggregate
        func.count(),
        func.count().filter(table.at >= since),
    )
    counted = chosen.where(table.run_id == run_id, table.resolved_at.is_(None)).group_by(table.kind, general)
    rows = session.execute(counted.order_by(func.count().desc(), table.kind, general)).tuples()
    split = [(kind, *example.partition("\x01")[::2], count, fresh) for kind, example, count, fresh in rows]
    return [Refusals(*row) for row in split]


def earlier_grades(session: Session, before: datetime, limit: int = 30) -> list[dict[str, int]]:
    """Photographs by grade of the nights before, the latest first: those that completed and graded something."""
    run, by_grade = ScreeningRun, ScreeningRun.counts["grades"]
    scored = run.counts["scored"].as_integer()
    chosen = select(by_grade).where(run.started_at < before, run.status == "completed", run.kind == "night", scored > 0)
    return list(session.scalars(chosen.order_by(run.started_at.desc()).limit(limit)))


def qualities(session: Session, run_id: str) -> tuple[list[int], list[int]]:
    """Histograms of the quality score over [0, 1]: of the photographs that a run found gradable, and of the ungradable.

    Nothing of a run that scores history again, which measures no quality anew.
    """
    bins = func.least(func.width_bucket(Scan.quality, 0.0, 1.0, BINS), BINS)
    settled = select(bins, func.count()).where(Scan.settled_by == run_id)
    return (
        _histogram(session, settled.where(Scan.state == "scored")),
        _histogram(session, settled.where(Scan.state == "ungradable")),
    )


def seen(session: Session, run_id: str) -> Seen:
    """What a night saw of the photographs that it settled."""
    rows = session.execute(
        select(Scan.quality, Scan.camera, Prediction.referable_probability, Scan.patient_id)
        .outerjoin(Prediction, and_(Prediction.sha256 == Scan.sha256, Prediction.run_id == run_id))
        .where(Scan.settled_by == run_id, Scan.state.in_(("scored", "ungradable")))
    ).all()
    return Seen(
        qualities=[row.quality for row in rows if row.quality is not None],
        scores=[row.referable_probability for row in rows if row.referable_probability is not None],
        cameras=[row.camera for row in rows],
        patients=len({row.patient_id for row in rows}),
    )


def worst(session: Session, run_id: str, limit: int) -> list[tuple[Prediction, str]]:
    """A run's predictions with their eye, the worst first: vision-threatening, then by referable probability."""
    table = Prediction
    order = (table.vision_threatening.desc(), table.grade.desc(), table.referable_probability.desc(), table.id)
    ids = select(table.id).where(table.run_id == run_id).order_by(*order).limit(limit)
    chosen = select(table, Scan.eye).join(Scan, Scan.sha256 == table.sha256).where(table.id.in_(ids)).order_by(*order)
    return [(prediction, eye) for prediction, eye in session.execute(chosen)]


def previous_version(session: Session, by: ScoredBy) -> ScoredBy | None:
    """The model version of the latest completed run that was not this one; None where there is none."""
    run = ScreeningRun
    same = and_(run.model == by.model, run.model_version == by.version, run.fingerprint == by.fingerprint)
    chosen = select(run.model, run.model_version, run.fingerprint).where(~same, run.status == "completed")
    row = session.execute(chosen.order_by(run.started_at.desc()).limit(1)).one_or_none()
    return ScoredBy(*row) if row else None


def _abstains() -> ColumnElement[bool]:
    return func.jsonb_array_length(Prediction.review_reasons) > 0


def _histogram(session: Session, chosen: Any) -> list[int]:
    found = dict(session.execute(chosen.where(Scan.quality.is_not(None)).group_by(literal_column("1"))).tuples().all())
    return [found.get(number, 0) for number in range(1, BINS + 1)]


def _general(sentence: ColumnElement[str]) -> ColumnElement[str]:
    """A sentence without what differs from file to file: quoted text, hashes, numbers."""
    return func.regexp_replace(sentence, r"'[^']*'|[0-9a-f]{8,}|[0-9][0-9.,:]*", "…", "g")
