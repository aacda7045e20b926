"""Who may call the service, what was looked at, and which requests were answered already."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, SmallInteger, String, func, text
from sqlalchemy.orm import Mapped, mapped_column

from clarity.storage.tables.base import Base


class ApiKey(Base):
    """A key of an app or a person. The secret itself is nowhere, only its hash."""

    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint("hash ~ '^[0-9a-f]{64}$'", name="hash"),
        CheckConstraint("rate_per_minute > 0", name="rate"),
    )
    id: Mapped[str] = mapped_column(primary_key=True)
    """The public part of the key, by which it is found."""
    name: Mapped[str]
    """What people call it: an app, a camera, a reviewer's pseudonymous id."""
    hash: Mapped[str] = mapped_column(String(64))
    """SHA-256 of the secret part, which has 256 random bits: nothing to guess, so no slow hash is needed."""
    scopes: Mapped[list[str]]
    rate_per_minute: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class Access(Base):
    """Who read or changed which record, when. Append-only: a trigger forbids UPDATE, DELETE and TRUNCATE."""

    __tablename__ = "access_log"
    __table_args__ = (Index("ix_access_log_record_at", "record", "at"), Index("ix_access_log_at", "at"))
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    key_id: Mapped[str]
    """Of the API key; "open" where the service runs without keys, "cli" for a person at a shell."""
    action: Mapped[str]
    """Method and path as documented, for example "GET /v1/patients/{id}"."""
    record: Mapped[str]
    """"patient <uid>", "scan <sha256>", "worklist", "patients": never anything of the person."""
    status: Mapped[int] = mapped_column(SmallInteger)
    request_id: Mapped[str]


class Answered(Base):
    """A request that carried an Idempotency-Key, and which record it made: the same request again is not done again."""

    __tablename__ = "idempotency"
    __table_args__ = (Index("ix_idempotency_at", "at"),)
    key_id: Mapped[str] = mapped_column(primary_key=True)
    """Of the API key: keys of others cannot collide."""
    idempotency_key: Mapped[str] = mapped_column(primary_key=True)
    request: Mapped[str] = mapped_column(String(64))
    """SHA-256 of method, path and body: another request under the same key is refused."""
    record: Mapped[str]
    at: Mapped[datetime] = mapped_column(server_default=func.now())


class Identified(Base):
    """Who a patient is, sealed. Without the key of the environment nobody can read it."""

    __tablename__ = "identities"
    __table_args__ = (Index("ix_identities_tokens", "tokens", postgresql_using="gin"),)
    patient_id: Mapped[int] = mapped_column(ForeignKey("patients.id"), primary_key=True, autoincrement=False)
    key_id: Mapped[str]
    """Which key sealed it: rotation re-seals the rows of older ones."""
    sealed: Mapped[bytes]
    """AES-256-GCM: 12 bytes of nonce, then ciphertext and tag, of a JSON document; bound to the patient's uid."""
    tokens: Mapped[list[str]] = mapped_column(server_default=text("'[]'::jsonb"))
    """Keyed hashes of what it can be searched by."""
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
