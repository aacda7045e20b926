"""Captures in, findings out: graded by the champion, overlays to the object store, rows and outcomes to PostgreSQL.

Object first, row second; one transaction a batch, with the outcomes of the visits that it touches. So a batch that
dies anywhere is as if it had not been, except for objects of the same name and content.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from sqlalchemy import Engine

from clarity.errors import ClarityError, InferenceError, ObjectMissing
from clarity.inference import heatmap
from clarity.inference.grader import Graded, Grader
from clarity.records import Capture
from clarity.screening import outcome
from clarity.storage import database, keys, results, runs, scans
from clarity.storage.objects import Objects
from clarity.storage.results import Finding, ScoredBy
from clarity.storage.runs import Refused

_PARALLEL = 8
"""Transfers to and from the object store at once."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What became of a batch: small numbers and sentences that may cross processes."""

    scored: int = 0
    ungradable: int = 0
    quarantined: int = 0
    failed: int = 0
    """Not the photograph's fault; they stay registered and are tried again by the next run."""
    errors: tuple[str, ...] = ()


def score_batch(
    grader: Grader,
    objects: Objects,
    engine: Engine,
    shas: Sequence[str],
    *,
    by: ScoredBy,
    run_id: str | None,
    overlay_size: int,
) -> Batch:
    """Grade these captures and write all that follows from it. Again, it changes nothing.

    Raises StorageError where PostgreSQL or the object store fails; then no row of the batch was written.
    """
    with database.session(engine) as session:
        captures = scans.captures(session, shas)
    with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="transfer") as pool:
        loaded = list(pool.map(lambda capture: _load(objects, capture), captures))
        graded = _grade(grader, loaded)
        pairs = zip(captures, graded, strict=True)
        settled = list(pool.map(lambda pair: _settle(objects, pair[0], pair[1], by, overlay_size), pairs))
    findings = [finding for finding in settled if isinstance(finding, Finding)]
    _write(engine, captures, findings, by, run_id)
    errors = [str(result) for result in settled if isinstance(result, InferenceError)]
    states = [finding.state for finding in findings]
    return Batch(
        scored=states.count("scored"),
        ungradable=states.count("ungradable"),
        quarantined=states.count("quarantined"),
        failed=len(errors),
        errors=tuple(errors),
    )


def _load(objects: Objects, capture: Capture) -> bytes | ObjectMissing:
    try:
        return objects.get(capture.key)
    except ObjectMissing as error:
        return error


def _grade(grader: Grader, loaded: Sequence[bytes | ObjectMissing]) -> list[Graded | ClarityError]:
    results_of = iter(grader.grade([data for data in loaded if isinstance(data, bytes)]))
    return [next(results_of) if isinstance(data, bytes) else data for data in loaded]


def _settle(
    objects: Objects, capture: Capture, graded: Graded | ClarityError, by: ScoredBy, overlay_size: int
) -> Finding | InferenceError:
    """The finding of one capture, its overlay stored; or the error that is the engine's and not the photograph's."""
    if isinstance(graded, InferenceError):
        return InferenceError(f"capture {capture.sha256[:12]}…: {graded}")
    if isinstance(graded, ClarityError):
        return Finding(capture.sha256, "quarantined", (str(graded),))
    picture = graded.overlay(overlay_size)
    if graded.prediction is None or picture is None:
        return Finding(capture.sha256, "ungradable", graded.quality.reasons, graded.quality.score)
    key = keys.heatmap_key(by.model, by.version, capture.sha256)
    objects.put(key, heatmap.encode(picture), "image/png")
    return Finding(capture.sha256, "scored", (), graded.quality.score, graded.prediction, key)


def _write(
    engine: Engine, captures: Sequence[Capture], findings: Sequence[Finding], by: ScoredBy, run_id: str | None
) -> None:
    at = {capture.sha256: capture.key for capture in captures}
    bad = [Refused(at[f.sha256], f.reasons[0], sha256=f.sha256) for f in findings if f.state == "quarantined"]
    with database.session(engine) as session:
        visits = results.lock_visits(session, [finding.sha256 for finding in findings])
        results.save(session, findings, by, run_id)
        runs.quarantine(session, bad, run_id)
        seen = results.scan_results(session, list(visits), by)
        joined = {visit: outcome.join(patient, visit[1], seen[visit]) for visit, patient in visits.items()}
        results.save_outcomes(session, joined, by, run_id)
