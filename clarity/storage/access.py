"""Rows of keys and of the access log."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from clarity.storage.tables import Access, ApiKey


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of an API key."""

    id: str
    name: str
    hash: str
    """SHA-256 of the secret."""
    scopes: tuple[str, ...]
    rate_per_minute: int
    created_at: datetime | None = None
    """None until it is written."""
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One record that one request touched."""

    key_id: str
    action: str
    record: str
    status: int
    request_id: str


def add(session: Session, key: Key) -> None:
    """Write a new key."""
    session.add(
        ApiKey(
            id=key.id,
            name=key.name,
            hash=key.hash,
            scopes=list(key.scopes),
            rate_per_minute=key.rate_per_minute,
            expires_at=key.expires_at,
        )
    )


def find(session: Session, id: str) -> Key | None:
    """The key of that id."""
    row = session.get(ApiKey, id)
    return _key(row) if row is not None else None


def every(session: Session) -> list[Key]:
    """All keys, the oldest first."""
    return [_key(row) for row in session.scalars(select(ApiKey).order_by(ApiKey.created_at, ApiKey.id))]


def revoke(session: Session, id: str) -> Key | None:
    """The key as revoked, since its first revocation; None where there is none."""
    revoked = update(ApiKey).where(ApiKey.id == id, ApiKey.revoked_at.is_(None)).values(revoked_at=func.now())
    session.execute(revoked.execution_options(synchronize_session=False))
    return find(session, id)


def append(session: Session, entries: Sequence[Entry]) -> None:
    """Add to the access log."""
    rows = [
        {"key_id": e.key_id, "action": e.action, "record": e.record, "status": e.status, "request_id": e.request_id}
        for e in entries
    ]
    if rows:
        session.execute(insert(Access), rows)


def _key(row: ApiKey) -> Key:
    return Key(
        row.id,
        row.name,
        row.hash,
        tuple(row.scopes),
        row.rate_per_minute,
        row.created_at,
        row.expires_at,
        row.revoked_at,
    )
