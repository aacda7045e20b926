"""Whose photographs: patients, scans, and what people said of them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, SmallInteger, String, func, text
from sqlalchemy.orm import Mapped, mapped_column

from clarity.storage.tables.base import SHA256, Base, one_of

STATES: tuple[str, ...] = ("registered", "scored", "ungradable", "quarantined")
"""Of a scan: ``registered`` waits for a model; the other three are final."""
DECISIONS: tuple[str, ...] = ("agree", "grade", "ungradable")
"""Of a review: the model is right, another grade, nobody can tell."""


class Patient(Base):
    """A person, known by pseudonymous ids only; who it is stands sealed in ``identities``."""

    __tablename__ = "patients"
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    uid: Mapped[UUID] = mapped_column(unique=True, server_default=func.gen_random_uuid())
    """The id outside: says nothing, not even how many there are."""
    external_id: Mapped[str] = mapped_column(unique=True)
    """The clinic's own pseudonymous id, or the uid where it gave none."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    erased_at: Mapped[datetime | None]
    """When who it is was erased for good."""


class Scan(Base):
    """One photograph of one eye. The sha256 of its bytes is its identity: the same photograph twice is one scan."""

    __tablename__ = "scans"
    __table_args__ = (
        CheckConstraint(SHA256, name="sha256"),
        CheckConstraint(one_of("eye", ("left", "right", "unknown")), name="eye"),
        CheckConstraint(one_of("state", STATES), name="state"),
        Index("ix_scans_patient_id_visit", "patient_id", "visit"),
        Index("ix_scans_registered", "patient_id", "visit", "sha256", postgresql_where=text("state = 'registered'")),
        Index("ix_scans_registered_by", "registered_by"),
        Index("ix_scans_settled_by", "settled_by"),
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    patient_id: Mapped[int] = mapped_column(ForeignKey("patients.id"))
    key: Mapped[str]
    """Of the photograph in the object store, captures/<2 hex>/<sha256><suffix>."""
    eye: Mapped[str]
    field: Mapped[str] = mapped_column(server_default="unknown")
    visit: Mapped[str]
    visit_type: Mapped[str] = mapped_column(server_default="screening")
    captured_at: Mapped[datetime | None]
    camera: Mapped[str | None]
    """Maker and model as the file names them."""
    state: Mapped[str] = mapped_column(server_default="registered")
    reasons: Mapped[list[str]] = mapped_column(server_default=text("'[]'::jsonb"))
    """Why it is ungradable or quarantined."""
    recapture: Mapped[bool] = mapped_column(server_default=text("false"))
    """A person should photograph this eye again."""
    quality: Mapped[float | None]
    """The gradability score in [0, 1]."""
    registered_by: Mapped[str | None] = mapped_column(ForeignKey("screening_runs.id"))
    """The run that took it in; None where it came another way."""
    settled_by: Mapped[str | None] = mapped_column(ForeignKey("screening_runs.id"))
    """The run that brought it to its state."""
    registered_at: Mapped[datetime] = mapped_column(server_default=func.now())
    state_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Review(Base):
    """What a person decided about one scan. Append-only: a trigger forbids UPDATE, DELETE and TRUNCATE."""

    __tablename__ = "reviews"
    __table_args__ = (
        CheckConstraint(one_of("decision", DECISIONS), name="decision"),
        CheckConstraint("(decision = 'grade') = (grade IS NOT NULL)", name="grade_given"),
        CheckConstraint("grade BETWEEN 0 AND 4", name="grade"),
        Index("ix_reviews_sha256", "sha256"),
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), ForeignKey("scans.sha256"))
    model: Mapped[str]
    model_version: Mapped[str]
    """Whose prediction the person saw."""
    decision: Mapped[str]
    grade: Mapped[int | None] = mapped_column(SmallInteger)
    comment: Mapped[str | None]
    reviewer: Mapped[str]
    """A pseudonymous id."""
    at: Mapped[datetime] = mapped_column(server_default=func.now())
