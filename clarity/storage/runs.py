"""Nights of screening: what was run, and how it ended."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from clarity.storage.results import ScoredBy
from clarity.storage.tables import ScreeningRun


def start(session: Session, run_id: str, by: ScoredBy) -> int:
    """Open a run; earlier runs that never ended are closed as failed, and counted.

    The caller holds the lock of the night, so a run that is still "running" belongs to a process that died.
    """
    dead = session.execute(
        update(ScreeningRun)
        .where(ScreeningRun.status == "running", ScreeningRun.id != run_id)
        .values(status="failed", finished_at=func.now(), error="ended without a word: killed, or the machine stopped")
        .returning(ScreeningRun.id)
    ).all()
    row = {"id": run_id, "model": by.model, "model_version": by.version, "fingerprint": by.fingerprint}
    session.execute(insert(ScreeningRun).values(row).on_conflict_do_nothing())
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
