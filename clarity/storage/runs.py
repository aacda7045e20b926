"""Nights of screening and the quarantine: what was run, and what a person has to look at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from clarity.storage.scans import ScoredBy
from clarity.storage.tables import Quarantined, ScreeningRun


@dataclass(frozen=True, slots=True)
class Refused:
    """An object that a person has to look at, and why."""

    key: str
    reason: str
    etag: str = ""
    sha256: str | None = None


def start(session: Session, run_id: str, by: ScoredBy, *, kind: str = "night") -> int:
    """Open a run; earlier runs that never ended are closed as failed, and counted.

    The caller holds the lock of the night, so a run that is still "running" belongs to a process that died.
    """
    dead = close_dead(session, but=run_id)
    open_run(session, run_id, by, kind=kind)
    return dead


def open_run(session: Session, run_id: str, by: ScoredBy, *, kind: str = "night") -> None:
    """Open a run, or find it open."""
    row = {"id": run_id, "kind": kind, "model": by.model, "model_version": by.version, "fingerprint": by.fingerprint}
    session.execute(insert(ScreeningRun).values(row).on_conflict_do_nothing())


def close_dead(session: Session, *, but: str = "") -> int:
    """Close, as failed, the runs that never ended; for the holder of the night's lock. How many there were."""
    dead = session.execute(
        update(ScreeningRun)
        .where(ScreeningRun.status == "running", ScreeningRun.id != but)
        .values(status="failed", finished_at=func.now(), error="ended without a word: killed, or the machine stopped")
        .returning(ScreeningRun.id)
    ).all()
    return len(dead)


def finish(session: Session, run_id: str, status: str, counts: Mapping[str, Any], error: str | None = None) -> None:
    """Close a run with its counts."""
    session.execute(
        update(ScreeningRun)
        .where(ScreeningRun.id == run_id)
        .values(status=status, counts=dict(counts), error=error, finished_at=func.now())
    )


def get(session: Session, run_id: str) -> ScreeningRun | None:
    """One run."""
    return session.get(ScreeningRun, run_id)


def latest(session: Session, limit: int = 30) -> list[ScreeningRun]:
    """The last runs, the newest first."""
    return list(session.scalars(select(ScreeningRun).order_by(ScreeningRun.started_at.desc()).limit(limit)))


def quarantine(session: Session, refused: Sequence[Refused], run_id: str | None) -> None:
    """Note objects for a person; one row a content, with the newest reason, open again where it was resolved."""
    rows = [
        {"key": r.key, "etag": r.etag, "sha256": r.sha256, "reason": r.reason, "run_id": run_id}
        for r in sorted({(r.key, r.etag): r for r in refused}.values(), key=lambda r: (r.key, r.etag))
    ]
    if not rows:
        return
    statement = insert(Quarantined).values(rows)
    new = statement.excluded
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["key", "etag"],
            set_={"reason": new.reason, "sha256": new.sha256, "run_id": new.run_id, "resolved_at": None},
        )
    )


def resolve(session: Session, keys: Sequence[str]) -> None:
    """Close what was open about these keys."""
    if keys:
        session.execute(
            update(Quarantined)
            .where(Quarantined.key.in_(keys), Quarantined.resolved_at.is_(None))
            .values(resolved_at=func.now())
        )


def open_quarantine(session: Session, *, run_id: str | None = None, limit: int = 100) -> list[Quarantined]:
    """What waits for a person, the newest first; of one run where it is given."""
    chosen = select(Quarantined).where(Quarantined.resolved_at.is_(None))
    if run_id is not None:
        chosen = chosen.where(Quarantined.run_id == run_id)
    return list(session.scalars(chosen.order_by(Quarantined.at.desc(), Quarantined.id.desc()).limit(limit)))


def count_quarantine(session: Session) -> int:
    """How many objects wait for a person."""
    counted = select(func.count()).select_from(Quarantined).where(Quarantined.resolved_at.is_(None))
    return session.scalar(counted) or 0
