"""The tables of Clarity's PostgreSQL, typed. Every timestamp is UTC; every identity that must not double is unique.

The Alembic migrations in ``migrations/`` make them; a test holds the two equal.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    MetaData,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

STATES: tuple[str, ...] = ("registered", "scored", "ungradable", "quarantined")
"""Of a scan: ``registered`` waits for a model; the other three are final."""
RUN_STATES: tuple[str, ...] = ("running", "completed", "failed")
ACTIONS: tuple[str, ...] = ("registered", "promoted", "refused", "rolled back")

_SHA256 = "sha256 ~ '^[0-9a-f]{64}$'"


def _one_of(column: str, values: tuple[str, ...]) -> str:
    listed = ", ".join(f"'{value}'" for value in values)
    return f"{column} IN ({listed})"


class Base(DeclarativeBase):
    """Names every constraint, so that migrations can speak of them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012  SQLAlchemy reads it from the class
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        list[str]: JSONB,
        list[float]: ARRAY(Double),
        float: Double,
        str: Text,
    }


class Patient(Base):
    """A person, known by a pseudonymous external id only."""

    __tablename__ = "patients"
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    external_id: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Scan(Base):
    """One photograph of one eye. The sha256 of its bytes is its identity: the same photograph twice is one scan."""

    __tablename__ = "scans"
    __table_args__ = (
        CheckConstraint(_SHA256, name="sha256"),
        CheckConstraint(_one_of("eye", ("left", "right", "unknown")), name="eye"),
        CheckConstraint(_one_of("state", STATES), name="state"),
        Index("ix_scans_patient_id_visit", "patient_id", "visit"),
        Index("ix_scans_registered", "patient_id", "visit", "sha256", postgresql_where=text("state = 'registered'")),
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    patient_id: Mapped[int] = mapped_column(ForeignKey("patients.id"))
    key: Mapped[str]
    """Of the photograph in the object store, captures/<2 hex>/<sha256><suffix>."""
    eye: Mapped[str]
    field: Mapped[str] = mapped_column(server_default="unknown")
    visit: Mapped[str]
    captured_at: Mapped[datetime | None]
    state: Mapped[str] = mapped_column(server_default="registered")
    reasons: Mapped[list[str]] = mapped_column(server_default=text("'[]'::jsonb"))
    """Why it is ungradable or quarantined."""
    quality: Mapped[float | None]
    """The gradability score in [0, 1]."""
    registered_at: Mapped[datetime] = mapped_column(server_default=func.now())
    state_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Prediction(Base):
    """What one model version says of one scan. Written by upsert on its identity, never twice."""

    __tablename__ = "predictions"
    __table_args__ = (
        UniqueConstraint("sha256", "model", "model_version", "fingerprint"),
        CheckConstraint("grade BETWEEN 0 AND 4", name="grade"),
        CheckConstraint("array_length(probabilities, 1) = 5", name="probabilities"),
        Index("ix_predictions_run_id", "run_id"),
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), ForeignKey("scans.sha256"))
    model: Mapped[str]
    """Name in the registry; with ``model_version`` it is the model version: two models may both have a version 1."""
    model_version: Mapped[str]
    fingerprint: Mapped[str]
    """Of the imaging chain."""
    grade: Mapped[int] = mapped_column(SmallInteger)
    probabilities: Mapped[list[float]]
    confidence: Mapped[float]
    referable: Mapped[bool]
    referable_probability: Mapped[float]
    vision_threatening: Mapped[bool]
    vision_threatening_probability: Mapped[float]
    heatmap_key: Mapped[str]
    run_id: Mapped[str | None] = mapped_column(ForeignKey("screening_runs.id"))
    """The run that wrote it first."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Outcome(Base):
    """The joined result of one patient's visit under one model version."""

    __tablename__ = "outcomes"
    __table_args__ = (
        UniqueConstraint("patient_id", "visit", "model", "model_version"),
        CheckConstraint(_one_of("result", ("refer", "no referral", "incomplete")), name="result"),
        Index("ix_outcomes_run_id", "run_id"),
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    patient_id: Mapped[int] = mapped_column(ForeignKey("patients.id"))
    visit: Mapped[str]
    model: Mapped[str]
    model_version: Mapped[str]
    result: Mapped[str]
    reasons: Mapped[list[str]]
    worst_grade: Mapped[int | None] = mapped_column(SmallInteger)
    left_grade: Mapped[int | None] = mapped_column(SmallInteger)
    right_grade: Mapped[int | None] = mapped_column(SmallInteger)
    macular_oedema: Mapped[str] = mapped_column(server_default="not assessed")
    run_id: Mapped[str | None] = mapped_column(ForeignKey("screening_runs.id"))
    """The run that wrote it last."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Promotion(Base):
    """The append-only ledger of what happened to model versions; a trigger forbids UPDATE, DELETE and TRUNCATE."""

    __tablename__ = "promotions"
    __table_args__ = (
        CheckConstraint(_one_of("action", ACTIONS), name="action"),
        Index("ix_promotions_model_at", "model", "at"),
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    model: Mapped[str]
    version: Mapped[str]
    previous_version: Mapped[str | None]
    action: Mapped[str]
    actor: Mapped[str]
    reasons: Mapped[list[str]] = mapped_column(server_default=text("'[]'::jsonb"))
    figures: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    run_id: Mapped[str | None]
    """Of MLflow."""
    data_version: Mapped[str | None]
    git_commit: Mapped[str | None]


class ScreeningRun(Base):
    """One night: which model version, when, what it counted, how it ended."""

    __tablename__ = "screening_runs"
    __table_args__ = (
        CheckConstraint(_one_of("status", RUN_STATES), name="status"),
        Index("ix_screening_runs_started_at", "started_at"),
    )
    id: Mapped[str] = mapped_column(primary_key=True)
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]
    model: Mapped[str]
    model_version: Mapped[str]
    fingerprint: Mapped[str]
    status: Mapped[str] = mapped_column(server_default="running")
    counts: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    error: Mapped[str | None]


class Quarantined(Base):
    """An inbox object, or a scan, that a person has to look at. One row a content, however often it is met."""

    __tablename__ = "quarantine"
    __table_args__ = (
        UniqueConstraint("key", "etag"),
        Index("ix_quarantine_open", "at", postgresql_where=text("resolved_at IS NULL")),
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    key: Mapped[str]
    etag: Mapped[str] = mapped_column(server_default="")
    sha256: Mapped[str | None] = mapped_column(String(64))
    """Where its bytes were read."""
    reason: Mapped[str]
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    """When it was first met."""
    run_id: Mapped[str | None] = mapped_column(ForeignKey("screening_runs.id"))
    """The run that met it last."""
    resolved_at: Mapped[datetime | None]


class InboxObject(Base):
    """An object of the inbox that has become a scan: it is not read again unless its content changes."""

    __tablename__ = "inbox_objects"
    key: Mapped[str] = mapped_column(primary_key=True)
    etag: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), ForeignKey("scans.sha256"))
    at: Mapped[datetime] = mapped_column(server_default=func.now())
