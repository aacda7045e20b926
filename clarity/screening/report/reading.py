"""A night's summary, read back from what the night wrote: aggregates by the run's id, none of them a list of rows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine

from clarity import grades
from clarity.params import LimitParams
from clarity.screening.report import mix
from clarity.screening.report.limits import judge
from clarity.screening.report.summary import Known, Summary
from clarity.storage import database, nights, quarantine, worklist
from clarity.storage.scans import ScoredBy
from clarity.storage.tables.results import RESULTS

_NAMED = 40
"""Kinds of trouble that are listed; the rest is counted."""
_LONG = 400
"""Characters of a name or reason that are kept: a key of the store may have a thousand."""


def summarise(
    engine: Engine,
    run_id: str,
    by: ScoredBy,
    tally: Mapping[str, int],
    errors: Sequence[str],
    *,
    known: Known | None = None,
    limits: LimitParams | None = None,
) -> Summary:
    """Read back what the run wrote, judge it, and say how it ended: failed after an error or beyond a limit.

    ``tally`` holds what rows do not tell: registered, quarantined and failed. Raises StorageError.
    """
    summary = _read(engine, run_id, by, tally, errors, known or Known())
    passed = judge(summary, limits) if limits else []
    status = "failed" if errors or passed else "completed"
    return replace(summary, status=status, limits_passed=passed, limits_known=limits is not None)


def _read(
    engine: Engine, run_id: str, by: ScoredBy, tally: Mapping[str, int], errors: Sequence[str], known: Known
) -> Summary:
    with database.session(engine) as session:
        run = nights.run(session, run_id) or nights.Run("night", datetime.now(UTC), 0.0)
        graded = nights.graded(session, run_id)
        joined = nights.joined(session, run_id)
        ungradable, recapture = nights.ungradable(session, run_id)
        why = nights.ungradable_reasons(session, run_id) if ungradable else []
        review = nights.review_reasons(session, run_id) if any(row.abstained for row in graded) else []
        refused = nights.refusals(session, run_id, run.started_at)
        earlier = nights.earlier_grades(session, run.started_at)
        waiting = quarantine.count(session)
        standing = worklist.standing(session)
    scored = sum(row.count for row in graded)
    by_grade = {g: sum(row.count for row in graded if row.grade == g) for g in grades.GRADES}
    return Summary(
        run=run_id,
        kind=run.kind,
        started_at=run.started_at.astimezone(UTC).isoformat(timespec="seconds"),
        model=by.model,
        model_version=by.version,
        fingerprint=by.fingerprint,
        precision=_one(row.precision for row in graded),
        policy=_one(row.policy for row in joined),
        status="running",
        seconds=round(run.seconds, 1),
        throughput=round((scored + ungradable) / run.seconds, 2) if scored + ungradable and run.seconds else None,
        registered=tally.get("registered", 0),
        scored=scored,
        ungradable=ungradable,
        quarantined=tally.get("quarantined", 0),
        quarantined_new=sum(row.fresh for row in refused),
        failed=tally.get("failed", 0),
        recapture=recapture,
        abstained=sum(row.abstained for row in graded),
        outcomes={name: sum(row.count for row in joined if row.result == name) for name in RESULTS},
        first=[_first(priority, joined, open_now) for priority, open_now in enumerate(standing)],
        grades={str(grade): count for grade, count in by_grade.items()},
        mix=mix.compare(by_grade, earlier),
        nights=len(earlier),
        ungradable_reasons=_shares(why, scored + ungradable),
        review_reasons=_shares(review, scored),
        waiting_for_a_person=waiting,
        quarantine=[_group(row) for row in refused[:_NAMED]],
        quarantine_more=max(0, len(refused) - _NAMED),
        steps={name: round(seconds, 2) for name, seconds in known.steps.items()},
        canaries=known.canaries,
        canaries_changed=list(known.canaries_changed),
        drift=None if known.drift is None else [dict(row) for row in known.drift],
        limits_passed=[],
        limits_known=False,
        errors=[_short(error) for error in errors[:20]],
        error_count=len(errors),
        report=f"reports/{run_id}/",
    )


def _first(priority: int, joined: Sequence[nights.Joined], standing: worklist.Standing) -> dict[str, Any]:
    """A night that was killed and run again wrote part of its outcomes under another run: what waits is said too."""
    rows = [row for row in joined if row.priority == priority]
    due = min((day for day in (standing.due_on, *(row.due_on for row in rows)) if day), default=None)
    return {
        "priority": priority,
        "visits": sum(row.count for row in rows),
        "waiting": standing.visits,
        "due_on": due and due.isoformat(),
    }


def _shares(counted: Sequence[tuple[str, int]], total: int) -> list[dict[str, Any]]:
    return [{"reason": _short(reason), "count": n, "share": n / total if total else None} for reason, n in counted]


def _group(row: nights.Refusals) -> dict[str, Any]:
    return {
        "kind": row.kind,
        "count": row.count,
        "new": row.fresh,
        "reason": _short(row.reason),
        "key": _short(row.key),
    }


def _one(values: Iterable[str]) -> str | None:
    """What all rows of a run say, or all that they say; None where there is none."""
    return ", ".join(sorted({value for value in values if value})) or None


def _short(text: str) -> str:
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"
