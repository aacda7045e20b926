"""The keys of the environment: several that seal who patients are, one that hashes what they are searched by."""

import base64
import binascii
import re
import secrets
from dataclasses import dataclass, field
from datetime import date

from clarity.errors import SealError

BYTES = 32
_ID = re.compile(r"[A-Za-z0-9._-]{1,32}")


@dataclass(frozen=True, slots=True)
class Keys:
    """Identity keys by id; the first seals, all of them open."""

    values: dict[str, bytes] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> "Keys":
        """From ``id:base64,id:base64``. Raises SealError, which repeats ids at most."""
        values: dict[str, bytes] = {}
        for number, part in enumerate(text.split(","), 1):
            name, colon, value = part.strip().partition(":")
            if not colon or not _ID.fullmatch(name):
                raise SealError(f"CLARITY_IDENTITY_KEYS: key {number}, not id:base64 with an id of A-Z a-z 0-9 . _ -")
            if name in values:
                raise SealError(f"CLARITY_IDENTITY_KEYS: id {name!r}, given to two keys")
            values[name] = decode(value, f"CLARITY_IDENTITY_KEYS: key {name!r}")
        return cls(values)

    @property
    def first(self) -> str:
        """The id of the key that seals."""
        return next(iter(self.values))


def decode(text: str, subject: str) -> bytes:
    """32 bytes from base64. Raises SealError that says ``subject`` and nothing of the value."""
    try:
        value = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise SealError(f"{subject}: not base64") from None
    if len(value) != BYTES:
        raise SealError(f"{subject}: {len(value)} bytes, not {BYTES}")
    return value


def fresh_identity_key(today: date) -> str:
    """``id:base64``; its id says when it was made."""
    return f"{today:%Y-%m-%d}-{secrets.token_hex(3)}:{_fresh()}"


def fresh_search_key() -> str:
    """Base64 of 32 random bytes."""
    return _fresh()


def _fresh() -> str:
    return base64.b64encode(secrets.token_bytes(BYTES)).decode("ascii")
