"""Rotation: identities that older keys sealed are sealed again with the first, a page a transaction."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Engine

from clarity.errors import SealError
from clarity.patients.cipher import Cipher, Sealed
from clarity.patients.keyring import Keys
from clarity.storage import database
from clarity.storage import patients as rows


@dataclass(frozen=True, slots=True)
class Rotated:
    """How far it came."""

    done: int
    left: int
    """Sealed by other keys; what is being changed elsewhere at the moment is among them."""


def rotate(
    engine: Engine, keys: Keys, *, page: int = 500, on_progress: Callable[[Rotated], None] = lambda _: None
) -> Rotated:
    """Seal again what another key than the first has sealed. Interrupted, the same call goes on where it was.

    Raises SealError before anything is written where an older key is missing, and on a row that does not open;
    StorageError.
    """
    cipher, done = Cipher(keys), 0
    with database.session(engine) as session:
        used = rows.count_sealed_by_others(session, keys.first)
    missing = sorted(set(used) - set(keys.values))
    if missing:
        raise SealError(
            f"identities: {sum(used[key] for key in missing)} sealed with {', '.join(map(repr, missing))}, "
            "not in CLARITY_IDENTITY_KEYS; put the older keys behind the new one until they are rotated"
        )
    while True:
        with database.session(engine) as session:
            some = rows.sealed_by_others(session, keys.first, limit=page)
            for who, uid in some:
                sealed = cipher.seal(cipher.open(Sealed(who.key_id, who.sealed), uid), uid)
                who.key_id, who.sealed = sealed.key_id, sealed.data
        done += len(some)
        with database.session(engine) as session:
            left = sum(rows.count_sealed_by_others(session, keys.first).values())
        on_progress(Rotated(done, left))
        if not some:
            return Rotated(done, left)
