"""Nights of screening: runs, leases on work, what a person has to look at, what of the inbox is known."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    SmallInteger,
    String,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from clarity.storage.tables.base import Base, one_of

RUN_STATES: tuple[str, ...] = ("running", "completed", "failed")
RUN_KINDS: tuple[str, ...] = ("night", "rescore")
QUARANTINE_KINDS: tuple[str, ...] = ("attribution", "conflict", "photograph", "object")
"""Whose it is is not known; two say different things of it; it cannot be read; it is no photograph at all."""


class ScreeningRun(Base):
    """One night: which model version, when, what it counted, how it ended."""

    __tablename__ = "screening_runs"
    __table_args__ = (
        CheckConstraint(one_of("status", RUN_STATES), name="status"),
        CheckConstraint(one_of("kind", RUN_KINDS), name="kind"),
        Index("ix_screening_runs_started_at", "started_at"),
    )
    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(server_default="night")
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]
    model: Mapped[str]
    model_version: Mapped[str]
    fingerprint: Mapped[str]
    status: Mapped[str] = mapped_column(server_default="running")
    counts: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    error: Mapped[str | None]


class Lease(Base):
    """A claim on one prediction that is to be made: who works on it, and until when that is believed.

    The row of a worker that died stays until another claims it; the row of one that finished is deleted with its
    results, in one transaction.
    """

    __tablename__ = "leases"
    sha256: Mapped[str] = mapped_column(String(64), ForeignKey("scans.sha256"), primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    model_version: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    """One claim of one worker."""
    run_id: Mapped[str] = mapped_column(ForeignKey("screening_runs.id"), index=True)
    until: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(SmallInteger)
    """How often it was claimed: what kills its worker again and again is not tried for ever."""


class Quarantined(Base):
    """An inbox object, or a scan, that a person has to look at. One row a content, however often it is met."""

    __tablename__ = "quarantine"
    __table_args__ = (
        UniqueConstraint("key", "etag"),
        CheckConstraint(one_of("kind", QUARANTINE_KINDS), name="kind"),
        Index("ix_quarantine_run_id", "run_id"),
        Index("ix_quarantine_open", "at", postgresql_where=text("resolved_at IS NULL")),
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    key: Mapped[str]
    etag: Mapped[str] = mapped_column(server_default="")
    sha256: Mapped[str | None] = mapped_column(String(64))
    """Where its bytes were read."""
    kind: Mapped[str] = mapped_column(server_default="photograph")
    reason: Mapped[str]
    claim: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    """Of a conflict: the patient (a pseudonymous id), eye and visit that it claims; never in a reason or a log."""
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    """When it was first met."""
    run_id: Mapped[str | None] = mapped_column(ForeignKey("screening_runs.id"))
    """The run that met it last."""
    resolved_at: Mapped[datetime | None]
    resolution: Mapped[str | None]
    """What a person, or a later night, did about it; "dismissed by …" stays closed when the object is met again."""


class InboxObject(Base):
    """An object of the inbox that has become a scan: it is not read again unless its content changes."""

    __tablename__ = "inbox_objects"
    key: Mapped[str] = mapped_column(primary_key=True)
    etag: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), ForeignKey("scans.sha256"))
    at: Mapped[datetime] = mapped_column(server_default=func.now())
