"""What happened to model versions."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from clarity.storage.tables.base import Base, one_of

ACTIONS: tuple[str, ...] = ("registered", "promoted", "refused", "rolled back")


class Promotion(Base):
    """The append-only ledger of what happened to model versions; a trigger forbids UPDATE, DELETE and TRUNCATE."""

    __tablename__ = "promotions"
    __table_args__ = (
        CheckConstraint(one_of("action", ACTIONS), name="action"),
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
