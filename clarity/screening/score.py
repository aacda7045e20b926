"""Captures in, findings out: graded by the champion, overlays to the object store, rows and outcomes to PostgreSQL.

Object first, row second; one transaction a batch, with the outcomes of the visits that it touches. So a batch that
dies anywhere is as if it had not been, except for objects of the same name and content.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain

from sqlalchemy import Engine

from clarity.errors import ClarityError, InferenceError, ObjectMissing
from clarity.inference import heatmap
from clarity.inference.grader import Graded, Grader
from clarity.records import Capture
from clarity.screening import outcome
from clarity.screening.ahead import ahead, together
from clarity.storage import database, keys, results, runs, scans
from clarity.storage.objects import Objects
from clarity.storage.results import Finding, ScoredBy
from clarity.storage.runs import Refused

_PARALLEL = 8
"""Transfers in one direction, to or from the object store, at once."""
_TOGETHER = 4
"""Photographs that a core takes through the network at once: more are hardly faster, and wait longer for each other."""


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
    settled = list(_settled(grader, objects, captures, by, overlay_size))
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


def _settled(
    grader: Grader, objects: Objects, captures: Sequence[Capture], by: ScoredBy, overlay_size: int
) -> Iterator[Finding | InferenceError]:
    """Fetch, grade and store, overlapping: the cores grade while photographs come and overlays go.

    Each core takes a few photographs from bytes to encoded overlays by itself, so no more threads compute than there
    are cores; the transfers wait on the network in threads of their own.
    """

    def load(capture: Capture) -> tuple[Capture, bytes | ObjectMissing]:
        return capture, _load(objects, capture)

    def grade(group: list[tuple[Capture, bytes | ObjectMissing]]) -> list[_Drawn]:
        results_of = _grade(grader, [data for _, data in group])
        return [_draw(capture, graded, overlay_size) for (capture, _), graded in zip(group, results_of, strict=True)]

    with (
        ThreadPoolExecutor(_PARALLEL, thread_name_prefix="fetch") as fetch,
        ThreadPoolExecutor(grader.lanes, thread_name_prefix="grade") as work,
        ThreadPoolExecutor(_PARALLEL, thread_name_prefix="store") as store,
    ):
        loaded = ahead(fetch, load, captures, limit=_TOGETHER * (grader.lanes + 2))
        graded = ahead(work, grade, together(loaded, _TOGETHER), limit=grader.lanes + 1)
        drawn = chain.from_iterable(graded)
        yield from ahead(store, lambda one: _store(objects, one, by), drawn, limit=2 * _PARALLEL)


def _load(objects: Objects, capture: Capture) -> bytes | ObjectMissing:
    try:
        return objects.get(capture.key)
    except ObjectMissing as error:
        return error


def _grade(grader: Grader, loaded: Sequence[bytes | ObjectMissing]) -> list[Graded | ClarityError]:
    results_of = iter(grader.grade_here([data for data in loaded if isinstance(data, bytes)]))
    return [next(results_of) if isinstance(data, bytes) else data for data in loaded]


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A capture's result with its overlay, encoded; no pixels, so that few bytes wait to be stored."""

    finding: Finding | InferenceError
    overlay: bytes | None = None


def _draw(capture: Capture, graded: Graded | ClarityError, overlay_size: int) -> _Drawn:
    """What becomes of one capture; an InferenceError is the engine's fault and not the photograph's."""
    if isinstance(graded, InferenceError):
        return _Drawn(InferenceError(f"capture {capture.sha256[:12]}…: {graded}"))
    if isinstance(graded, ClarityError):
        return _Drawn(Finding(capture.sha256, "quarantined", (str(graded),)))
    picture = graded.overlay(overlay_size)
    if graded.prediction is None or picture is None:
        return _Drawn(Finding(capture.sha256, "ungradable", graded.quality.reasons, graded.quality.score))
    finding = Finding(capture.sha256, "scored", (), graded.quality.score, graded.prediction)
    return _Drawn(finding, heatmap.encode(picture, maps=graded.maps))


def _store(objects: Objects, drawn: _Drawn, by: ScoredBy) -> Finding | InferenceError:
    if drawn.overlay is None or isinstance(drawn.finding, InferenceError):
        return drawn.finding
    key = keys.heatmap_key(by.model, by.version, drawn.finding.sha256)
    objects.put(key, drawn.overlay, "image/png")
    return replace(drawn.finding, heatmap_key=key)


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
