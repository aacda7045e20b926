"""What was erased, and what of it the object store still has to let go."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from clarity.storage.tables.base import Base, one_of

POLICIES: tuple[str, ...] = ("pseudonymise", "remove")


class Erasure(Base):
    """One patient's erasure. Reviews may go where it says ``remove``, and nowhere else: a trigger sees to it."""

    __tablename__ = "erasures"
    __table_args__ = (
        CheckConstraint(one_of("policy", POLICIES), name="policy"),
        Index("ix_erasures_pending", "patient_id", postgresql_where=text("objects <> '[]'::jsonb")),
    )
    patient_id: Mapped[int] = mapped_column(ForeignKey("patients.id"), primary_key=True, autoincrement=False)
    policy: Mapped[str]
    erased: Mapped[list[str]]
    """Sentences, as they are answered."""
    kept: Mapped[list[str]]
    objects: Mapped[list[str]] = mapped_column(server_default=text("'[]'::jsonb"))
    """Keys of the object store that are still to be deleted: rows go first, so that none points at nothing."""
    at: Mapped[datetime] = mapped_column(server_default=func.now())
