"""Claims on work: which worker makes which predictions, until when that is believed, and how often it was tried.

A worker claims a chunk, works, and writes its results in the transaction that deletes its leases. A worker that was
silent for longer than its lease finds the lease taken when it comes back, and writes nothing. Results are idempotent
besides, so a lease saves work; correctness does not hang on clocks.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import uuid4

from sqlalchemy import ARRAY, SmallInteger, Text, delete, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from clarity.storage.scans import ScoredBy, to_score
from clarity.storage.tables import Lease, Prediction, Scan


@dataclass(frozen=True, slots=True)
class Claim:
    """What one worker got of a chunk."""

    owner: str
    attempts: Mapping[str, int]
    """By sha256: how often it was begun before. 0 is the rule; more means that a worker died over its chunk."""


def claim(session: Session, shas: Sequence[str], by: ScoredBy, *, chunk: str, run_id: str, seconds: float) -> Claim:
    """Claim these captures for one worker; those that another holds, or that are scored already, are left out.

    ``chunk`` names the piece of work: who claims the same piece again takes it over at once, because the scheduler
    that sent it again has given the first worker up.
    """
    owner = f"{chunk}#{uuid4().hex}"
    table, until = Lease, func.now() + func.make_interval(0, 0, 0, 0, 0, 0, seconds)
    fresh = _open(session, shas, by)
    if not fresh:
        return Claim(owner, {})
    # from one array and not from a list of rows: the statement is the same whatever their number, and prepared once
    each = func.unnest(literal(fresh, ARRAY(Text))).column_valued("sha256")
    same = (by.model, by.version, by.fingerprint, owner, run_id)
    rows = select(each, *(literal(value, Text) for value in same), until, literal(0, SmallInteger))
    names = ("sha256", "model", "model_version", "fingerprint", "owner", "run_id", "until", "attempts")
    statement = insert(table).from_select(names, rows)
    held = or_(table.until <= func.now(), func.split_part(table.owner, "#", 1) == chunk)
    taken = statement.on_conflict_do_update(
        index_elements=["sha256", "model", "model_version", "fingerprint"],
        set_={name: statement.excluded[name] for name in ("owner", "run_id", "until")},
        where=held,
    ).returning(table.sha256, table.attempts)
    return Claim(owner, dict(session.execute(taken).tuples().all()))


def forgive(session: Session, shas: Collection[str], owner: str) -> None:
    """Take back the last attempt and let go: it failed by a fault that was not the captures'."""
    session.execute(
        update(Lease)
        .where(Lease.sha256.in_(shas), Lease.owner == owner)
        .values(attempts=func.greatest(Lease.attempts - 1, 0), until=func.now())
        .execution_options(synchronize_session=False)
    )


def let_go(session: Session, shas: Collection[str], owner: str) -> None:
    """Leave captures to whoever comes next, the attempt counted: they could not be graded."""
    session.execute(
        update(Lease)
        .where(Lease.sha256.in_(shas), Lease.owner == owner)
        .values(until=func.now())
        .execution_options(synchronize_session=False)
    )


def begin(session: Session, shas: Collection[str], owner: str) -> None:
    """Count an attempt at these captures, before it is made."""
    session.execute(
        update(Lease)
        .where(Lease.sha256.in_(shas), Lease.owner == owner)
        .values(attempts=Lease.attempts + 1)
        .execution_options(synchronize_session=False)
    )


def release(session: Session, shas: Collection[str], owner: str) -> set[str]:
    """Give up the leases of finished captures; those of them that were still the owner's: only these may be written.

    Called first in the transaction that writes the results: the deleted rows stay locked until its end, so nobody
    takes them over between.
    """
    ended = delete(Lease).where(Lease.sha256.in_(shas), Lease.owner == owner).returning(Lease.sha256)
    return set(session.scalars(ended.execution_options(synchronize_session=False)))


def expire_others(session: Session, run_id: str) -> int:
    """End the leases of all other runs. Only for the holder of the night's lock: no other run is alive then."""
    ended = (
        update(Lease)
        .where(Lease.run_id != run_id, Lease.until > func.now())
        .values(until=func.now())
        .returning(Lease.sha256)
    )
    return len(session.scalars(ended.execution_options(synchronize_session=False)).all())


def remove_finished(session: Session) -> int:
    """Delete ended leases of captures that wait for nobody any more."""
    settled = select(Scan.id).where(Scan.sha256 == Lease.sha256, Scan.state.in_(("ungradable", "quarantined")))
    done = select(Prediction.id).where(
        Prediction.sha256 == Lease.sha256,
        Prediction.model == Lease.model,
        Prediction.model_version == Lease.model_version,
        Prediction.fingerprint == Lease.fingerprint,
    )
    ended = delete(Lease).where(Lease.until <= func.now(), or_(settled.exists(), done.exists())).returning(Lease.sha256)
    return len(session.scalars(ended.execution_options(synchronize_session=False)).all())


def _open(session: Session, shas: Sequence[str], by: ScoredBy) -> list[str]:
    """Those of them that can be scored and that this model version has not scored, in one order everywhere."""
    chosen = select(Scan.sha256).where(Scan.sha256.in_(list(shas)), to_score(by))
    return list(session.scalars(chosen.order_by(Scan.sha256)))
