"""Nights of screening: what was run, and how it ended."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from clarity.storage.scans import ScoredBy
from clarity.storage.tables import ScreeningRun


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
