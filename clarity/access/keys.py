"""Keys ``clarity_<id>_<secret>``: the id finds the key, a hash proves the secret, which itself is kept nowhere."""

import hashlib
import hmac
import re
import secrets
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Engine

from clarity.access import scopes
from clarity.errors import AccessRefused, ParameterError, UnknownRecord
from clarity.storage import access, database
from clarity.storage.access import Key

_FORM = re.compile(r"clarity_([0-9a-f]{12})_([A-Za-z0-9_-]{43})", re.ASCII)
_NOBODY = hashlib.sha256(secrets.token_bytes(32)).hexdigest()
"""Compared with where there is no such key, so that the time tells nobody which ids there are."""
_LONGEST = 80


class Presented(NamedTuple):
    """A key as a caller sent it."""

    id: str
    secret: str


def make(
    engine: Engine, name: str, scope: list[str] | tuple[str, ...], *, rate_per_minute: int, expires_at: datetime | None
) -> tuple[Key, str]:
    """A new key, and the text that is told once. Raises ParameterError, StorageError."""
    if not name.strip() or len(name) > _LONGEST or not name.isprintable():
        raise ParameterError(f"name of {len(name)} characters: 1 to {_LONGEST} printable ones are taken")
    if rate_per_minute < 1:
        raise ParameterError(f"rate {rate_per_minute}: at least one request a minute")
    id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    key = Key(id, name, _hash(secret), scopes.checked(scope), rate_per_minute, expires_at=expires_at)
    with database.session(engine) as session:
        access.add(session, key)
    return key, f"clarity_{id}_{secret}"


def read(text: str) -> Presented | None:
    """The two parts of a key's text; None where it is none."""
    found = _FORM.fullmatch(text)
    return Presented(found[1], found[2]) if found else None


def find(engine: Engine, id: str) -> Key | None:
    """The key of that id, revoked or not; None where there is none. Raises StorageError."""
    with database.session(engine) as session:
        return access.find(session, id)


def verify(key: Key | None, secret: str, now: datetime) -> Key:
    """The key, where the secret is its own and it still counts. ``key``: what the id found.

    Raises AccessRefused. Only who knows the secret hears why; the comparison takes as long for an id that is not there.
    """
    same = hmac.compare_digest(_hash(secret), key.hash if key else _NOBODY)
    if key is None or not same:
        raise AccessRefused("key: not known")
    if key.revoked_at is not None:
        raise AccessRefused(f"key {key.id}: revoked")
    if key.expires_at is not None and key.expires_at <= now:
        raise AccessRefused(f"key {key.id}: expired on {key.expires_at:%Y-%m-%d}")
    return key


def every(engine: Engine) -> list[Key]:
    """All keys, the oldest first. Raises StorageError."""
    with database.session(engine) as session:
        return access.every(session)


def revoke(engine: Engine, id: str) -> Key:
    """The key, which counts no more; again, as of the first time. Raises UnknownRecord, StorageError."""
    with database.session(engine) as session:
        found = access.revoke(session, id)
    if found is None:
        raise UnknownRecord(f"key {id[:12]!r}: there is none of that id")
    return found


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("ascii", "replace")).hexdigest()
