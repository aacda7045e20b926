"""Requests that carry a key of their caller's: done once, and the same request again finds the record it made.

``remember`` is called in the transaction of the effect itself, so that both are there or neither. Of two at once the
second waits for the first and finds its record.
"""

import hashlib
from datetime import timedelta

from sqlalchemy import delete, func, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from clarity.errors import IdempotencyConflict
from clarity.storage.tables import Answered

_CLEANED = 100
"""Old rows that one request takes away, at most: many more than the one that it adds."""


def remember(
    session: Session, *, key_id: str, key: str, request: bytes, record: str, lifetime: timedelta
) -> str | None:
    """None where this request is new: it now stands for ``record``. Else the record that it made earlier.

    ``key_id``: of the API key, so that callers cannot meet. ``key``: the caller's, hashed too, as a caller may have put
    anything into it, a patient's name too. ``request``: whatever tells it from another, hashed here.
    Rows older than ``lifetime``, which is ``serving.idempotency_s``, count as if they were not there. Raises
    IdempotencyConflict for another request under the same key.
    """
    table, old = Answered, func.now() - lifetime
    told = _digest(request)
    statement = insert(table).values(key_id=key_id, idempotency_key=_digest(key.encode()), request=told, record=record)
    new = statement.excluded
    upsert = statement.on_conflict_do_update(
        index_elements=["key_id", "idempotency_key"],
        set_={"request": new.request, "record": new.record, "at": func.now()},
        where=table.at < old,
    ).returning(table.record)
    if session.scalar(upsert) is None:
        return recall(session, key_id=key_id, key=key, request=request, lifetime=lifetime)
    _clean(session, lifetime)
    return None


def recall(session: Session, *, key_id: str, key: str, request: bytes, lifetime: timedelta) -> str | None:
    """The record that this request made earlier, None where it is new; before any work is done for it.

    Raises IdempotencyConflict as ``remember``.
    """
    found = session.execute(
        select(Answered.request, Answered.record).where(
            Answered.key_id == key_id,
            Answered.idempotency_key == _digest(key.encode()),
            Answered.at >= func.now() - lifetime,
        )
    ).one_or_none()
    if found is None:
        return None
    if found.request != _digest(request):
        raise IdempotencyConflict(f"Idempotency-Key of {len(key)} characters: was used for another request")
    record: str = found.record
    return record


def _digest(request: bytes) -> str:
    return hashlib.sha256(request).hexdigest()


def _clean(session: Session, lifetime: timedelta) -> None:
    """Some of the rows that have outlived themselves; those that another is about to clean are left to it."""
    identity = (Answered.key_id, Answered.idempotency_key)
    chosen = select(*identity).where(Answered.at < func.now() - lifetime).limit(_CLEANED)
    session.execute(
        delete(Answered)
        .where(tuple_(*identity).in_(chosen.with_for_update(skip_locked=True)))
        .execution_options(synchronize_session=False)
    )
