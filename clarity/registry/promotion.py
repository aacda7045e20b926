"""Promotion, rollback and their repair: the ledger's row first, MLflow's aliases second.

Between the two the process may die, or MLflow may not answer. Then the old champion still serves, and a committed row
says which version is to: ``reconcile`` moves the aliases to what the ledger says. Every promotion, rollback and
training begins with it, so the two agree again without anybody's help. The other order could leave a model in service
that no row explains. One writer at a time a model, by an advisory lock of PostgreSQL that a dead process cannot keep.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, text

from clarity.errors import NoChampion
from clarity.records import ModelRef
from clarity.registry import judgement, ledger
from clarity.registry.ledger import Entry
from clarity.registry.models import CHAMPION, PREVIOUS, Registry
from clarity.storage import database


def promote(
    registry: Registry,
    engine: Engine,
    ref: ModelRef,
    *,
    actor: str,
    reasons: Sequence[str],
    figures: Mapping[str, Any] | None = None,
) -> ModelRef:
    """Make a version the champion. Nothing happens, and no row is written, where it is already.

    Nor where the judgement that ``figures`` name has promoted it before: then a person has rolled it back since.
    Raises StorageError; where it was raised after the row was written, the promotion is decided and the next call of
    anything here completes it.
    """
    with _one_at_a_time(engine, ref.name):
        champions = _reconcile(registry, engine, ref.name)
        if champions[-1:] == [ref.version] or _written(engine, ref, figures):
            return registry.get(ref.name, ref.version)
        _write(registry, engine, ref, "promoted", actor, reasons, figures, champions[-1] if champions else None)
        return registry.promote(ref, previous=champions[-1] if champions else None)


def refuse(
    registry: Registry,
    engine: Engine,
    ref: ModelRef,
    *,
    actor: str,
    reasons: Sequence[str],
    figures: Mapping[str, Any] | None = None,
) -> None:
    """Write down that a version was refused, once a judgement that ``figures`` name. The champion stays."""
    with _one_at_a_time(engine, ref.name):
        if not _written(engine, ref, figures):
            champion = registry.version_of(ref.name, CHAMPION)
            _write(registry, engine, ref, "refused", actor, reasons, figures, champion)


def rollback(registry: Registry, engine: Engine, name: str, *, actor: str, reasons: Sequence[str]) -> ModelRef:
    """Return to the version that was champion before. Twice returns two steps.

    Raises NoChampion where there is none before, StorageError as ``promote``.
    """
    with _one_at_a_time(engine, name):
        champions = _reconcile(registry, engine, name)
        if len(champions) < 2:
            now = f"version {champions[0]} is the only one ever promoted" if champions else "no version is promoted"
            raise NoChampion(f"model {name}: {now}, there is nothing to roll back to")
        ref = registry.get(name, champions[-2])
        _write(registry, engine, ref, "rolled back", actor, reasons, None, champions[-1])
        return registry.promote(ref, previous=champions[-3] if len(champions) > 2 else None)


def reconcile(registry: Registry, engine: Engine, name: str) -> bool:
    """Move the aliases to what the ledger says; True where they had to be moved. Raises StorageError."""
    with _one_at_a_time(engine, name):
        before = registry.version_of(name, CHAMPION)
        champions = _reconcile(registry, engine, name)
        return champions[-1:] != ([before] if before else [])


def _reconcile(registry: Registry, engine: Engine, name: str) -> Sequence[str]:
    """The stack of champions of the ledger, with the aliases agreeing.

    Versions that MLflow no longer has (deleted by hand, or a new server) cannot serve and are left out.
    """
    known = {ref.version for ref in registry.list(name)}
    champions = [version for version in ledger.promoted(ledger.history(engine, name)) if version in known]
    if champions:
        previous = champions[-2] if len(champions) > 1 else None
        if (registry.version_of(name, CHAMPION), registry.version_of(name, PREVIOUS)) != (champions[-1], previous):
            registry.promote(registry.get(name, champions[-1]), previous=previous)
    return champions


def _written(engine: Engine, ref: ModelRef, figures: Mapping[str, Any] | None) -> bool:
    """Whether this judgement has its row: a step may die after it wrote one, and is tried again."""
    about = (figures or {}).get(judgement.KEY)
    return about is not None and judgement.earlier(ledger.history(engine, ref.name), about) is not None


def _write(
    registry: Registry,
    engine: Engine,
    ref: ModelRef,
    action: ledger.Action,
    actor: str,
    reasons: Sequence[str],
    figures: Mapping[str, Any] | None,
    previous: str | None,
) -> None:
    tags = registry.tags(ref)
    entry = Entry(
        model=ref.name,
        version=ref.version,
        action=action,
        actor=actor,
        reasons=tuple(reasons),
        figures=figures or {},
        previous_version=previous,
        run_id=ref.run_id,
        data_version=tags.get("clarity.data_version"),
        git_commit=tags.get("clarity.git_commit"),
    )
    ledger.record(engine, entry)


@contextmanager
def _one_at_a_time(engine: Engine, name: str) -> Iterator[None]:
    with database.connection(engine) as link:
        key = zlib.crc32(f"promotion of {name}".encode())
        link.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})
        yield
