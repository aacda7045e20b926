"""The steps of a night: library calls on references. Each builds what it needs in the process in which it runs."""

import functools
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine

from clarity.inference.bundle import Bundle
from clarity.inference.engine import Engine as InferenceEngine
from clarity.inference.grader import Grader
from clarity.registry.models import Registry
from clarity.screening import inbox, report, score
from clarity.screening.attribution import Attributions
from clarity.settings import Settings
from clarity.storage import database, runs, scans
from clarity.storage.objects import Objects
from clarity.storage.results import ScoredBy


@dataclass(frozen=True, slots=True)
class Champion:
    """The model version of the night, and where its bundle lies on this machine."""

    by: ScoredBy
    bundle: str


def find_champion(name: str) -> Champion:
    """The promoted version, its bundle on this machine, checked."""
    settings = Settings.load()
    registry = Registry(settings.need("mlflow_tracking_uri"))
    ref = registry.champion(name)
    bundle = Bundle.load(registry.fetch(ref, settings.home / "models"))
    return Champion(ScoredBy(ref.name, ref.version, bundle.spec.fingerprint), str(bundle.path))


def begin(run_id: str, by: ScoredBy) -> int:
    """Open the run; returns how many runs had died before it."""
    with database.session(services()[0]) as session:
        return runs.start(session, run_id, by)


def look(prefix: str, after: str) -> tuple[list[inbox.Found], str | None]:
    """The next inbox objects that are not scans yet."""
    engine, objects = services()
    return inbox.waiting(objects, engine, prefix, after=after)


def register(found: list[inbox.Found], max_bytes: int, run_id: str) -> inbox.Registered:
    """A chunk of inbox objects becomes scans, or goes to quarantine."""
    engine, objects = services()
    attributions = Attributions(objects, now=datetime.now(UTC))
    return inbox.register(objects, engine, found, attributions, max_bytes=max_bytes, run_id=run_id)


def waiting(by: ScoredBy, after: scans.Visit | None) -> tuple[list[str], scans.Visit | None]:
    """Photographs of the next visits with something to score, and the visit to go on from."""
    with database.session(services()[0]) as session:
        visits = scans.waiting_visits(session, after=after)
        shas = scans.unscored(session, visits, by.model, by.version, by.fingerprint) if visits else []
    return shas, visits[-1] if visits else None


def score_batch(shas: list[str], champion: Champion, overlay_size: int, run_id: str) -> score.Batch:
    """Grade a batch and write everything that follows from it."""
    engine, objects = services()
    grader = _grader(champion.bundle, champion.by.version)
    return score.score_batch(grader, objects, engine, shas, by=champion.by, run_id=run_id, overlay_size=overlay_size)


def publish(summary: report.Summary) -> None:
    """The summary and the contact sheet into the object store."""
    engine, objects = services()
    report.write(objects, engine, summary)


def finish(run_id: str, by: ScoredBy, tally: dict[str, int], errors: list[str]) -> report.Summary:
    """Close the run's row with what it counted."""
    engine = services()[0]
    summary = report.summarise(engine, run_id, by, tally, errors)
    with database.session(engine) as session:
        runs.finish(session, run_id, summary.status, summary.counts(), errors[0] if errors else None)
    return summary


def services() -> tuple[Engine, Objects]:
    """PostgreSQL and the object store, for this process."""
    settings = Settings.load()
    return engine_of(settings.need("database_url")), Objects(settings)


@functools.lru_cache(maxsize=1)
def engine_of(url: str) -> Engine:
    """One engine a process."""
    return database.engine(url)


@functools.lru_cache(maxsize=1)
def _grader(bundle: str, version: str) -> Grader:
    loaded = Bundle.load(Path(bundle))
    return Grader(loaded, InferenceEngine.load(loaded, streams="throughput"), version)
