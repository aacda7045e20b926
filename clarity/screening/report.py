"""What a night found, for people: a summary, and a contact sheet of its overlays, worst first."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine

from clarity import grades
from clarity.inference import heatmap
from clarity.screening import contact
from clarity.storage import database, results, runs
from clarity.storage.objects import Objects
from clarity.storage.scans import ScoredBy

SHOWN = 24
"""Overlays on a contact sheet."""
NOTICE = "Decision support in development, not a medical device. Macular oedema: not assessed."


@dataclass(frozen=True, slots=True)
class Summary:
    """One night in numbers."""

    run: str
    model: str
    model_version: str
    fingerprint: str
    status: str
    seconds: float
    registered: int
    scored: int
    ungradable: int
    quarantined: int
    """Inbox objects and captures that this run put, or found again, in quarantine."""
    failed: int
    outcomes: dict[str, int]
    """Written by this run: refer, no referral, incomplete."""
    grades: dict[str, int]
    """Photographs by grade; of photographs, not of patients."""
    waiting_for_a_person: int
    """Everything open in the quarantine, from this run or earlier ones."""
    quarantine: list[dict[str, str]]
    """The first of this run's, with reasons."""
    errors: list[str]
    report: str
    """Where in the object store the summary and the contact sheet lie."""
    notice: str = NOTICE

    def counts(self) -> dict[str, Any]:
        """As stored with the run."""
        return asdict(self)


def summarise(
    engine: Engine, run_id: str, by: ScoredBy, tally: Mapping[str, int], errors: Sequence[str], *, status: str
) -> Summary:
    """Read back what the run wrote. ``tally`` holds registered, scored, ungradable, quarantined and failed.

    Raises StorageError.
    """
    with database.session(engine) as session:
        run = runs.get(session, run_id)
        refused = runs.open_quarantine(session, run_id=run_id)
        outcomes = results.outcomes_of_run(session, run_id)
        by_grade = results.grades_of_run(session, run_id)
        waiting = runs.count_quarantine(session)
    began = run.started_at if run else datetime.now(UTC)
    return Summary(
        run=run_id,
        model=by.model,
        model_version=by.version,
        fingerprint=by.fingerprint,
        status=status,
        seconds=round((datetime.now(UTC) - began).total_seconds(), 1),
        registered=tally.get("registered", 0),
        scored=tally.get("scored", 0),
        ungradable=tally.get("ungradable", 0),
        quarantined=tally.get("quarantined", 0),
        failed=tally.get("failed", 0),
        outcomes={name: outcomes.get(name, 0) for name in ("refer", "no referral", "incomplete")},
        grades={str(grade): by_grade.get(grade, 0) for grade in grades.GRADES},
        waiting_for_a_person=waiting,
        quarantine=[{"key": row.key, "reason": row.reason} for row in refused],
        errors=list(errors[:20]),
        report=f"reports/{run_id}/",
    )


def write(objects: Objects, engine: Engine, summary: Summary) -> None:
    """Put ``summary.json`` and, where anything was scored, ``contact.png`` under ``reports/<run>/``.

    Raises StorageError.
    """
    with database.session(engine) as session:
        worst = results.worst_of_run(session, summary.run, SHOWN)
    shown = f"{len(worst)} of {summary.scored} scored photographs, worst first"
    sheet = contact.draw(objects, worst, f"{summary.model} {summary.model_version}: {shown}", NOTICE)
    if sheet is not None:
        objects.put(f"{summary.report}contact.png", heatmap.encode(sheet), "image/png")
    text = json.dumps(summary.counts(), indent=2, ensure_ascii=False)
    objects.put(f"{summary.report}summary.json", text.encode(), "application/json")


def markdown(summary: Summary) -> str:
    """The summary as a Prefect artifact."""
    rows = [
        ("model version", f"{summary.model} {summary.model_version}"),
        ("registered", summary.registered),
        ("scored", summary.scored),
        ("ungradable", summary.ungradable),
        ("quarantined", summary.quarantined),
        ("failed", summary.failed),
        *((f"outcome: {name}", count) for name, count in summary.outcomes.items()),
        *((f"grade {g}, {grades.name(int(g))}", count) for g, count in summary.grades.items()),
        ("seconds", summary.seconds),
        ("report", f"`{summary.report}`"),
    ]
    text = f"# Screening {summary.run}: {summary.status}\n\n{NOTICE}\n\n| | |\n|---|---|\n"
    text += "".join(f"| {name} | {value} |\n" for name, value in rows)
    if summary.errors:
        text += "\n## Failed\n" + "".join(f"- {_cell(error)}\n" for error in summary.errors)
    if summary.quarantine:
        text += "\n## Quarantine\n\n| object | reason |\n|---|---|\n"
        text += "".join(f"| {_cell(row['key'])} | {_cell(row['reason'])} |\n" for row in summary.quarantine)
    return text


def _cell(text: str) -> str:
    """Names come from outside: nothing in them may become markup or a line of its own."""
    plain = " ".join(text.split())
    return "".join(f"\\{c}" if c in "|\\`*_[]<>#" else c for c in plain)
