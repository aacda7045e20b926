"""Captures in, findings out: graded by one model version, overlays to the store, rows and outcomes to PostgreSQL.

A chunk is claimed for a while, worked on, and written in one transaction with the outcomes of the visits that it
touches: object first, row second. So a chunk that dies anywhere is as if it had not been, except for objects of the
same name and content; who claims it next finishes it.
"""

import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from clarity.errors import StorageError
from clarity.inference.grader import Grader
from clarity.records import Capture
from clarity.screening import outcome
from clarity.screening.findings import Failed, find
from clarity.screening.policy import Policy
from clarity.storage import database, leases, quarantine, results, scans
from clarity.storage.objects import Objects
from clarity.storage.quarantine import Refused
from clarity.storage.results import Finding
from clarity.storage.scans import ScoredBy


@dataclass(frozen=True, slots=True)
class Work:
    """What a chunk is part of, and how long a worker may be silent over it."""

    run_id: str
    chunk: str
    """Names the piece of work: sent again under the same name, it is taken over from the first worker at once."""
    lease_s: float = 600.0
    max_attempts: int = 5
    overlay_size: int | None = None
    rescore: bool = False
    """History is scored again: scans keep their states, and an outcome is written once its whole visit is scored."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What became of a chunk: small numbers and sentences that may cross processes."""

    scored: int = 0
    ungradable: int = 0
    quarantined: int = 0
    failed: int = 0
    """Not the photograph's fault; they stay registered and are tried again by the next run."""
    lost: int = 0
    """Finished after their lease had gone to another worker: nothing was written of them here."""
    errors: tuple[str, ...] = ()

    def __add__(self, other: "Batch") -> "Batch":
        return Batch(
            self.scored + other.scored,
            self.ungradable + other.ungradable,
            self.quarantined + other.quarantined,
            self.failed + other.failed,
            self.lost + other.lost,
            self.errors + other.errors,
        )


def score_batch(
    grader: Grader,
    objects: Objects,
    engine: Engine,
    shas: Sequence[str],
    *,
    by: ScoredBy,
    work: Work,
    policy: Policy,
) -> Batch:
    """Claim these captures, grade them and write all that follows from it. Again, it changes nothing.

    Captures over which a worker died before are graded one by one: one that kills its worker costs itself alone, and
    goes to quarantine after ``work.max_attempts``. Raises StorageError where PostgreSQL or the object store fails;
    then no row of what was at hand was written.
    """
    with database.session(engine) as session:
        claim = leases.claim(session, shas, by, chunk=work.chunk, run_id=work.run_id, seconds=work.lease_s)
        fresh = [sha for sha, attempts in claim.attempts.items() if not attempts]
        leases.begin(session, fresh, claim.owner)
    desk = _Desk(grader, objects, engine, by, work, policy, claim.owner)
    done = desk.finish(fresh)
    for sha, attempts in claim.attempts.items():
        if attempts >= work.max_attempts:
            done += desk.give_up(sha, attempts)
        elif attempts:
            with database.session(engine) as session:
                leases.begin(session, [sha], claim.owner)
            done += desk.finish([sha])
    return done


@dataclass(frozen=True, slots=True)
class _Desk:
    """One worker with its claim."""

    grader: Grader
    objects: Objects
    engine: Engine
    by: ScoredBy
    work: Work
    policy: Policy
    owner: str

    def finish(self, shas: Sequence[str]) -> Batch:
        """Grade and write. Where the services fail, the attempt is not held against the captures."""
        if not shas:
            return Batch()
        try:
            with database.session(self.engine) as session:
                captures = scans.captures(session, shas)
            settled = list(find(self.grader, self.objects, captures, self.by, self.work.overlay_size))
            return self._write(captures, settled)
        except StorageError:
            with contextlib.suppress(StorageError), database.session(self.engine) as session:
                leases.forgive(session, shas, self.owner)
            raise

    def give_up(self, sha: str, attempts: int) -> Batch:
        reason = f"a worker died or failed over it {attempts} times: not tried again"
        with database.session(self.engine) as session:
            captures = scans.captures(session, [sha])
        return self._write(captures, [Finding(sha, "quarantined", (reason,))])

    def _write(self, captures: Sequence[Capture], settled: Sequence[Finding | Failed]) -> Batch:
        findings = {one.sha256: one for one in settled if isinstance(one, Finding)}
        failed = {one.sha256: one.error for one in settled if isinstance(one, Failed)}
        with database.session(self.engine) as session:
            ours = leases.release(session, list(findings), self.owner)
            leases.let_go(session, list(failed), self.owner)
            kept = [finding for sha, finding in findings.items() if sha in ours]
            work = self.work
            write(session, captures, kept, by=self.by, policy=self.policy, run_id=work.run_id, rescore=work.rescore)
        states = Counter(finding.state for finding in kept)
        return Batch(
            scored=states["scored"],
            ungradable=states["ungradable"],
            quarantined=states["quarantined"],
            failed=len(failed),
            lost=len(findings) - len(kept),
            errors=tuple(f"capture {sha[:12]}…: {error}" for sha, error in failed.items()),
        )


def write(
    session: Session,
    captures: Sequence[Capture],
    findings: Sequence[Finding],
    *,
    by: ScoredBy,
    policy: Policy,
    run_id: str | None,
    rescore: bool = False,
) -> None:
    """Everything that follows from findings: predictions, states, what a person has to look at, joined outcomes.

    The overlays are in the store already. The patients of the captures stay locked until the transaction ends.
    """
    at = {capture.sha256: capture.key for capture in captures}
    bad = [Refused(at[f.sha256], f.reasons[0], sha256=f.sha256) for f in findings if f.state == "quarantined"]
    visits = results.lock_visits(session, [finding.sha256 for finding in findings])
    results.save(session, findings, by, run_id, settle=not rescore)
    quarantine.note(session, bad, run_id)
    seen = results.scan_results(session, list(visits), by)
    if rescore:
        visits = {visit: patient for visit, patient in visits.items() if not any(map(outcome.waits, seen[visit]))}
    joined = {visit: outcome.join(patient, visit[1], seen[visit], policy) for visit, patient in visits.items()}
    results.save_outcomes(session, joined, by, run_id)
