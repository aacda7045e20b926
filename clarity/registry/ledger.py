"""The append-only ledger: what happened to which model version, when, by whom, why.

It is the truth, and MLflow's aliases follow. MLflow keeps no history of its aliases (#2169): without these rows nobody
could say which model graded last March.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Engine, select

from clarity.storage import database
from clarity.storage.tables import Promotion

Action = Literal["registered", "promoted", "refused", "rolled back"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One row. ``id`` and ``at`` are given by the database."""

    model: str
    version: str
    action: Action
    actor: str
    """A person or a flow run, for example "ada@clinic" or "flow train/brave-otter"."""
    reasons: tuple[str, ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)
    previous_version: str | None = None
    run_id: str | None = None
    data_version: str | None = None
    git_commit: str | None = None
    id: int | None = None
    at: datetime | None = None


def record(engine: Engine, entry: Entry) -> Entry:
    """Append a row; returns it with its id and time. A figure that is not a number becomes null: JSON has no NaN.

    Raises StorageError.
    """
    values = {name: value for name, value in asdict(entry).items() if name not in ("id", "at")}
    values |= {"reasons": list(entry.reasons), "figures": {k: _finite(v) for k, v in entry.figures.items()}}
    row = Promotion(**values)
    with database.session(engine) as session:
        session.add(row)
        session.flush()
        session.refresh(row)
    return _entry(row)


def history(engine: Engine, model: str) -> list[Entry]:
    """Every row of a model, oldest first. Raises StorageError."""
    with database.session(engine) as session:
        rows = session.scalars(select(Promotion).where(Promotion.model == model).order_by(Promotion.id))
        return [_entry(row) for row in rows]


def promoted(entries: Iterable[Entry]) -> Sequence[str]:
    """The versions a rollback can return through, the champion last: promotions push, rollbacks take away.

    >>> promoted of "promoted 1, promoted 2, refused 3, promoted 4, rolled back to 2" is ["1", "2"]
    """
    stack: list[str] = []
    for entry in entries:
        if entry.action == "promoted" and stack[-1:] != [entry.version]:
            stack.append(entry.version)
        elif entry.action == "rolled back" and entry.version in stack:
            while stack[-1] != entry.version:
                stack.pop()
    return stack


def _entry(row: Promotion) -> Entry:
    return Entry(
        model=row.model,
        version=row.version,
        action=row.action,  # type: ignore[arg-type]  # the table's own constraint
        actor=row.actor,
        reasons=tuple(row.reasons),
        figures=row.figures,
        previous_version=row.previous_version,
        run_id=row.run_id,
        data_version=row.data_version,
        git_commit=row.git_commit,
        id=row.id,
        at=row.at,
    )


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
