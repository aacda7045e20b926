"""The quarantine: what a person has to look at, why, and what was done about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, func, not_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from clarity.storage.tables import Quarantined

DISMISSED = "dismissed"
"""How a resolution begins that stays closed."""
LATER = "settled by a later night"
CHANGED = "its content changed"


@dataclass(frozen=True, slots=True)
class Refused:
    """An object that a person has to look at, and why."""

    key: str
    reason: str
    etag: str = ""
    sha256: str | None = None
    kind: str = "photograph"
    """Of ``tables.QUARANTINE_KINDS``."""
    claim: Mapping[str, str] = field(default_factory=dict)
    """Of a conflict: the patient, eye and visit that it claims."""


def note(session: Session, refused: Sequence[Refused], run_id: str | None) -> None:
    """Note objects for a person; one row a content, with the newest reason, open again where a night had closed it.

    A row that a person dismissed stays closed. Rows of an earlier content of the same key are closed.
    """
    last = sorted({(r.key, r.etag): r for r in refused}.values(), key=lambda r: (r.key, r.etag))
    if not last:
        return
    statement = insert(Quarantined).values([_row(r, run_id) for r in last])
    new = statement.excluded
    taken = {name: new[name] for name in ("reason", "sha256", "kind", "claim", "run_id")}
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["key", "etag"],
            set_={**taken, "resolved_at": None, "resolution": None},
            where=not_(_is_dismissed()),
        )
    )
    earlier = (
        Quarantined.key.in_([r.key for r in last]),
        tuple_(Quarantined.key, Quarantined.etag).not_in([(r.key, r.etag) for r in last]),
    )
    _close(session, *earlier, resolution=CHANGED)


def settle(session: Session, keys: Sequence[str]) -> None:
    """Close what was open about these keys: a night could do what an earlier one could not."""
    if keys:
        _close(session, Quarantined.key.in_(keys), resolution=LATER)


def resolve(session: Session, number: int, resolution: str) -> None:
    """Close one row with what a person did; ``resolution`` says who."""
    session.execute(
        update(Quarantined).where(Quarantined.id == number).values(resolved_at=func.now(), resolution=resolution)
    )


def get(session: Session, number: int) -> Quarantined | None:
    """One row, locked until the transaction ends: two persons decide one after the other."""
    return session.get(Quarantined, number, with_for_update=True)


def met(session: Session, objects: Sequence[tuple[str, str]]) -> dict[tuple[str, str], bool]:
    """Which of these objects (key, etag) have a row, and whether a person dismissed it."""
    if not objects:
        return {}
    chosen = select(Quarantined.key, Quarantined.etag, _is_dismissed().label("dismissed")).where(
        tuple_(Quarantined.key, Quarantined.etag).in_(objects)
    )
    return {(row.key, row.etag): bool(row.dismissed) for row in session.execute(chosen)}


def open_rows(
    session: Session, *, run_id: str | None = None, kind: str | None = None, limit: int = 100
) -> list[Quarantined]:
    """What waits for a person, the newest first; of one run, or of one kind, where it is given."""
    chosen = select(Quarantined).where(Quarantined.resolved_at.is_(None))
    if run_id is not None:
        chosen = chosen.where(Quarantined.run_id == run_id)
    if kind is not None:
        chosen = chosen.where(Quarantined.kind == kind)
    return list(session.scalars(chosen.order_by(Quarantined.at.desc(), Quarantined.id.desc()).limit(limit)))


def count(session: Session) -> int:
    """How many objects wait for a person."""
    return sum(count_by_kind(session).values())


def count_by_kind(session: Session) -> dict[str, int]:
    """How many objects wait for a person, by kind."""
    counted = select(Quarantined.kind, func.count()).where(Quarantined.resolved_at.is_(None))
    return dict(session.execute(counted.group_by(Quarantined.kind)).tuples().all())


def _row(refused: Refused, run_id: str | None) -> dict[str, Any]:
    return {
        "key": refused.key,
        "etag": refused.etag,
        "sha256": refused.sha256,
        "kind": refused.kind,
        "reason": refused.reason,
        "claim": dict(refused.claim),
        "run_id": run_id,
    }


def _close(session: Session, *which: ColumnElement[bool], resolution: str) -> None:
    session.execute(
        update(Quarantined)
        .where(*which, Quarantined.resolved_at.is_(None))
        .values(resolved_at=func.now(), resolution=resolution)
        .execution_options(synchronize_session=False)
    )


def _is_dismissed() -> ColumnElement[bool]:
    return func.coalesce(Quarantined.resolution, "").startswith(DISMISSED)
