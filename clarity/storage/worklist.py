"""What a person looks at first: vision-threatening, then referable, uncertain, ungradable; the earliest due first.

Pages by key and not by number: the thousandth page costs what the first one does, and what is reviewed meanwhile
shifts nothing. Every query reads ``ix_outcomes_worklist`` in its order.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, func, select, text, tuple_
from sqlalchemy.orm import Session

from clarity.errors import ParameterError
from clarity.storage.tables import Outcome, Patient, Scan

_OPEN = text("outcomes.reviewed_at IS NULL AND NOT outcomes.superseded AND outcomes.priority < 4")
"""Spelt out, not bound: so that also a prepared statement may use the partial index."""
_CURSOR = re.compile(r"([0-3])_(\d{4}-\d{2}-\d{2}|none)_(\d{1,18})")
MOST = 1000
MOST_COUNTED = 10_000


@dataclass(frozen=True, slots=True)
class Cursor:
    """The place of an entry in the order of the worklist; as text for an address or a command line."""

    priority: int
    due_on: date | None
    id: int

    def __str__(self) -> str:
        return f"{self.priority}_{self.due_on or 'none'}_{self.id}"

    @classmethod
    def parse(cls, said: str) -> "Cursor":
        """Raises ParameterError where it is none."""
        found = _CURSOR.fullmatch(said)
        try:
            if found:
                due = None if found[2] == "none" else date.fromisoformat(found[2])
                return cls(int(found[1]), due, int(found[3]))
        except ValueError:
            pass
        raise ParameterError(f"cursor {said[:40]!r}: not one that a page of the worklist gave")


@dataclass(frozen=True, slots=True)
class Filters:
    """What of the worklist is asked for; everything by default."""

    priority: int | None = None
    due_by: date | None = None
    """Due on that day or before it."""
    result: str | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """A capture of an entry: where to look."""

    sha256: str
    eye: str
    field: str
    state: str
    recapture: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """A visit that waits for a person."""

    cursor: Cursor
    patient: str
    uid: UUID
    """Of the patient, by which the service knows it."""
    visit: str
    result: str
    reasons: tuple[str, ...]
    action: str
    policy: str
    not_derivable: tuple[str, ...]
    worst_grade: int | None
    left_grade: int | None
    right_grade: int | None
    macular_oedema: str
    model: str
    model_version: str
    captures: tuple[Shown, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries in order, and the cursor of what follows; None at the end."""

    entries: tuple[Entry, ...]
    following: Cursor | None


def page(session: Session, cursor: Cursor | None = None, filters: Filters | None = None, limit: int = 50) -> Page:
    """The entries behind ``cursor``, at most ``limit`` (of 1 to 1000). Raises ParameterError for another limit."""
    if not 1 <= limit <= MOST:
        raise ParameterError(f"limit {limit}: not of 1 to {MOST}")
    rows: list[Outcome] = []
    for query in queries(cursor, filters or Filters()):
        rows += session.scalars(query.limit(limit + 1 - len(rows)))
        if len(rows) > limit:
            break
    shown = rows[:limit]
    entries = tuple(_entries(session, shown))
    return Page(entries, entries[-1].cursor if len(rows) > limit else None)


@dataclass(frozen=True, slots=True)
class Standing:
    """How much of one priority waits, whichever night put it there."""

    visits: int
    """At most MOST_COUNTED: beyond it nobody needs the number to know what to do."""
    due_on: date | None
    """The earliest."""


def standing(session: Session) -> list[Standing]:
    """What waits now, by priority (0 to 3). Reads the first entries of an index, however many there are."""
    return [_standing(session, priority) for priority in range(4)]


def _standing(session: Session, priority: int) -> Standing:
    some = select(Outcome.id).where(_OPEN, Outcome.priority == priority)
    counted = select(func.count()).select_from(some.limit(MOST_COUNTED).subquery()).scalar_subquery()
    due = _query(Filters(priority=priority)).with_only_columns(Outcome.due_on).limit(1).scalar_subquery()
    visits, due_on = session.execute(select(counted, due)).tuples().one()
    return Standing(visits, due_on)


def queries(cursor: Cursor | None, filters: Filters) -> Iterator[Select[tuple[Outcome]]]:
    """The worklist behind a cursor as ranges of the index, one after the other.

    The index puts what has no due date behind what has one, and a comparison of rows does not find it there: so the
    rest of the cursor's priority with a date, that without, and the priorities behind it are asked one by one.
    """
    if cursor is None:
        yield _query(filters)
        return
    same = Outcome.priority == cursor.priority
    undated = and_(same, Outcome.due_on.is_(None))
    if cursor.due_on is not None:
        yield _query(filters, same, tuple_(Outcome.due_on, Outcome.id) > (cursor.due_on, cursor.id))
        yield _query(filters, undated)
    else:
        yield _query(filters, undated, Outcome.id > cursor.id)
    yield _query(filters, Outcome.priority > cursor.priority)


def _query(filters: Filters, *where: ColumnElement[bool]) -> Select[tuple[Outcome]]:
    chosen = select(Outcome).where(_OPEN, *where)
    if filters.priority is not None:
        chosen = chosen.where(Outcome.priority == filters.priority)
    if filters.due_by is not None:
        chosen = chosen.where(Outcome.due_on <= filters.due_by)
    if filters.result is not None:
        chosen = chosen.where(Outcome.result == filters.result)
    return chosen.order_by(Outcome.priority, Outcome.due_on, Outcome.id)


def _entries(session: Session, rows: Sequence[Outcome]) -> Iterator[Entry]:
    """Names and captures are looked up afterwards: a join could lead the planner away from the index's order."""
    ids = [row.patient_id for row in rows]
    names = {one.id: one for one in session.scalars(select(Patient).where(Patient.id.in_(ids)))}
    captures = _captures(session, [(row.patient_id, row.visit) for row in rows])
    for row in rows:
        yield Entry(
            cursor=Cursor(row.priority, row.due_on, row.id),
            patient=names[row.patient_id].external_id,
            uid=names[row.patient_id].uid,
            captures=tuple(captures.get((row.patient_id, row.visit), ())),
            reasons=tuple(row.reasons),
            not_derivable=tuple(row.not_derivable),
            **{name: getattr(row, name) for name in _COPIED},
        )


_COPIED = (
    *("visit", "result", "action", "policy", "worst_grade", "left_grade", "right_grade"),
    *("macular_oedema", "model", "model_version"),
)


def _captures(session: Session, visits: Sequence[tuple[int, str]]) -> dict[tuple[int, str], list[Shown]]:
    found: dict[tuple[int, str], list[Shown]] = {}
    if not visits:
        return found
    columns = (Scan.patient_id, Scan.visit, Scan.sha256, Scan.eye, Scan.field, Scan.state, Scan.recapture)
    chosen = select(*columns).where(tuple_(Scan.patient_id, Scan.visit).in_(visits))
    for patient, visit, *rest in session.execute(chosen.order_by(Scan.eye, Scan.field, Scan.sha256)):
        found.setdefault((patient, visit), []).append(Shown(*rest))
    return found
