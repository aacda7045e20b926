"""The steps of a night: library calls on references. Each builds what it needs in the process in which it runs."""

import functools
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from clarity.inference import canary, drift
from clarity.inference.bundle import Bundle
from clarity.inference.engine import Engine as InferenceEngine
from clarity.inference.grader import Grader
from clarity.params import LimitParams, Params
from clarity.registry.models import Registry
from clarity.screening import inbox, policy, repair, report, score
from clarity.screening.attribution import Attributions
from clarity.screening.policy import Policy
from clarity.screening.report import notify
from clarity.settings import Settings
from clarity.storage import database, leases, nights, results, runs, scans
from clarity.storage.lock import NightLock
from clarity.storage.objects import Objects
from clarity.storage.scans import ScoredBy
from flows import logs

logs.plain()


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


def find_policy(name: str) -> Policy:
    """The referral policy of the night. Raises ParameterError."""
    return policy.load(Settings.load().project / policy.FOLDER, name)


def begin(run_id: str, by: ScoredBy, kind: str) -> int:
    """Open the run, end the leases of workers that died with earlier ones; returns how many runs had died."""
    with database.session(services()[0]) as session:
        dead = runs.start(session, run_id, by, kind=kind)
        leases.expire_others(session, run_id)
        leases.remove_finished(session)
    return dead


def open_run(run_id: str, by: ScoredBy) -> None:
    """Open a run beside others; for a worker alone."""
    with database.session(services()[0]) as session:
        runs.open_run(session, run_id, by)


def look(prefix: str, after: str) -> tuple[list[inbox.Found], str | None]:
    """The next inbox objects that are not scans yet."""
    engine, objects = services()
    return inbox.waiting(objects, engine, prefix, after=after)


def register(found: list[inbox.Found], params: Params, run_id: str | None) -> inbox.Registered:
    """A chunk of inbox objects becomes scans, or goes to quarantine."""
    engine, objects = services()
    said = params.screening
    attributions = Attributions(objects, now=datetime.now(UTC), patterns=said.patterns, prefix=said.inbox)
    return inbox.register(objects, engine, found, attributions, max_bytes=params.imaging.max_bytes, run_id=run_id)


def waiting(by: ScoredBy, after: scans.Visit | None, rescore: bool) -> tuple[list[list[str]], scans.Visit | None]:
    """Photographs of the next visits with something to score, a list a visit, and the visit to go on from."""
    with database.session(services()[0]) as session:
        if rescore:
            visits = scans.visits_before(session, by, after=after)
        else:
            visits = scans.waiting_visits(session, after=after)
        found = scans.unscored(session, visits, by) if visits else []
    return found, visits[-1] if visits else None


def score_batch(shas: list[str], champion: Champion, work: score.Work, policy_name: str) -> score.Batch:
    """Grade a chunk and write everything that follows from it."""
    engine, objects = services()
    grader = _grader(champion.bundle, champion.by.model, champion.by.version)
    return score.score_batch(grader, objects, engine, shas, by=champion.by, work=work, policy=_policy(policy_name))


def mend(params: Params) -> repair.Repaired:
    """Take in the inbox and bring store and rows to say the same again, while no night runs.

    Raises AlreadyRunning, StorageError.
    """
    engine, objects = services()
    with NightLock(engine):
        after: str | None = ""
        while after is not None:
            found, after = inbox.waiting(objects, engine, params.screening.inbox, after=after)
            register(found, params, None)
        return repair.repair(engine, objects, repair.Redrawing(_grader_of, params.screening.overlay_size))


def ride_canaries(champion: Champion) -> tuple[int, list[str]]:
    """How many photographs of known answer the bundle holds, and a sentence for each that came back different."""
    grader = _grader(champion.bundle, champion.by.model, champion.by.version)
    return len(grader.bundle.spec.canaries), canary.check(grader)


def find_drift(run_id: str, champion: Champion) -> list[dict[str, Any]]:
    """The run's photographs beside the bundle's reference."""
    with database.session(services()[0]) as session:
        seen = nights.seen(session, run_id)
    reference = _grader(champion.bundle, champion.by.model, champion.by.version).bundle.spec.reference
    tonight = drift.Night(seen.qualities, seen.scores, seen.cameras, seen.patients)
    return [asdict(row) for row in drift.compare(reference, tonight)] if reference else []


def tell(summary: report.Summary) -> report.Summary:
    """Tell the webhook of a night that failed."""
    return notify.about(summary, Settings.load().webhook)


def tell_of_death(run_id: str) -> str:
    """Tell the webhook of a night that could not even report; what became of that."""
    return notify.about_death(run_id, Settings.load().webhook)


def compare_versions(run_id: str, by: ScoredBy) -> str | None:
    """Who changes side of the referable line against the version before; where the page lies."""
    engine, objects = services()
    with database.session(engine) as session:
        before = nights.previous_version(session, by)
    return report.write_changes(objects, run_id, report.changes(engine, before, by)) if before else None


def publish(summary: report.Summary) -> None:
    """The summary and the contact sheet into the object store."""
    engine, objects = services()
    report.write(objects, engine, summary)


def finish(
    run_id: str, by: ScoredBy, failed: int, errors: list[str], known: report.Known, limits: LimitParams
) -> report.Summary:
    """Close the run's row with what it left in the database: true also where an answer was lost on its way.

    A night that failed, or that passed a limit, is told to the webhook.
    """
    engine = services()[0]
    with database.session(engine) as session:
        tally = results.tally_of_run(session, run_id) | {"failed": failed}
    summary = report.summarise(engine, run_id, by, tally, errors, known=known, limits=limits)
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


def _grader_of(by: ScoredBy) -> Grader:
    """The grader of a version that once scored."""
    settings = Settings.load()
    registry = Registry(settings.need("mlflow_tracking_uri"))
    fetched = registry.fetch(registry.get(by.model, by.version), settings.home / "models")
    return _grader(str(fetched), by.model, by.version)


@functools.lru_cache(maxsize=1)
def _policy(name: str) -> Policy:
    return find_policy(name)


@functools.lru_cache(maxsize=1)
def _grader(bundle: str, model: str, version: str) -> Grader:
    """The night's model, loaded once a process. On another machine than the flow's its bundle is fetched first."""
    settings, path = Settings.load(), Path(bundle)
    if not path.is_dir():
        registry = Registry(settings.need("mlflow_tracking_uri"))
        path = registry.fetch(registry.get(model, version), settings.home / "models")
    loaded, cores = Bundle.load(path), settings.cores or 0
    return Grader(loaded, InferenceEngine.load(loaded, threads=cores, streams="throughput"), version, jobs=cores)
