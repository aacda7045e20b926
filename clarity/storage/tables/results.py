"""What was found: predictions of photographs, outcomes of visits."""

from datetime import date, datetime

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

RESULTS: tuple[str, ...] = ("refer", "review", "incomplete", "no referral")
"""Of an outcome: ``review`` where the model abstains and nothing refers."""


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
    review_reasons: Mapped[list[str]] = mapped_column(server_default=text("'[]'::jsonb"))
    """Why a person has to look at it; empty where the model does not abstain."""
    energy: Mapped[float | None]
    """How unlike the training data the photograph is; higher is stranger."""
    precision: Mapped[str] = mapped_column(server_default="fp32")
    """Of the form that computed it."""
    heatmap_key: Mapped[str]
    run_id: Mapped[str | None] = mapped_column(ForeignKey("screening_runs.id"))
    """The run that wrote it first."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Outcome(Base):
    """The joined result of one patient's visit under one model version."""

    __tablename__ = "outcomes"
    __table_args__ = (
        UniqueConstraint("patient_id", "visit", "model", "model_version"),
        CheckConstraint(one_of("result", RESULTS), name="result"),
        CheckConstraint("priority BETWEEN 0 AND 4", name="priority"),
        Index("ix_outcomes_run_id", "run_id"),
        Index(
            "ix_outcomes_worklist",
            "priority",
            "due_on",
            "id",
            postgresql_where=text("reviewed_at IS NULL AND NOT superseded AND priority < 4"),
        ),
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    patient_id: Mapped[int] = mapped_column(ForeignKey("patients.id"))
    visit: Mapped[str]
    model: Mapped[str]
    model_version: Mapped[str]
    result: Mapped[str]
    reasons: Mapped[list[str]]
    policy: Mapped[str] = mapped_column(server_default="")
    """Name and version of the referral policy that decided, for example "ada 2024.1"."""
    action: Mapped[str] = mapped_column(server_default="")
    """What the policy asks for, in its own words."""
    not_derivable: Mapped[list[str]] = mapped_column(server_default=text("'[]'::jsonb"))
    """What the policy needs and the model cannot know."""
    due_on: Mapped[date | None]
    """When the next step is due at the latest."""
    priority: Mapped[int] = mapped_column(SmallInteger, server_default=text("4"))
    """Order of the worklist: 0 vision-threatening, 1 referable, 2 uncertain, 3 ungradable or incomplete, 4 nothing."""
    worst_grade: Mapped[int | None] = mapped_column(SmallInteger)
    left_grade: Mapped[int | None] = mapped_column(SmallInteger)
    right_grade: Mapped[int | None] = mapped_column(SmallInteger)
    macular_oedema: Mapped[str] = mapped_column(server_default="not assessed")
    superseded: Mapped[bool] = mapped_column(server_default=text("false"))
    """A later model version has an outcome of this visit; this one is history."""
    reviewed_at: Mapped[datetime | None]
    run_id: Mapped[str | None] = mapped_column(ForeignKey("screening_runs.id"))
    """The run that wrote it last."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
