"""A rescoring's report: who changes side of the referable line between two model versions."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Engine

from clarity import grades
from clarity.screening.report.page import document, many, paragraph, say, section, table
from clarity.screening.report.summary import NOTICE
from clarity.storage import comparison, database
from clarity.storage.comparison import Moved
from clarity.storage.objects import Objects
from clarity.storage.scans import ScoredBy
from clarity.storage.tables.results import RESULTS

LISTED = 500
"""Photographs in the list; all are counted."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Two model versions on the same photographs and visits."""

    old: ScoredBy
    new: ScoredBy
    compared: int
    """Photographs that both have graded."""
    only_new: int
    """Photographs that the older version never graded."""
    to_referable: int
    to_not_referable: int
    by_grade: list[list[int]]
    """(5, 5) photographs: row the older version's grade, column the newer's."""
    visits: dict[str, dict[str, int]]
    """Visits by the older result, then the newer; of visits with an outcome of both."""
    listed: list[Moved]
    """The first of those that change side: newly referable ones before the others."""

    @property
    def unlisted(self) -> int:
        """How many change side and are not in the list."""
        return self.to_referable + self.to_not_referable - len(self.listed)


def changes(engine: Engine, old: ScoredBy, new: ScoredBy, *, listed: int = LISTED) -> Changes:
    """Count in the database, list the first; memory does not grow with the history. Raises StorageError."""
    with database.session(engine) as session:
        pairs = comparison.pairs(session, old, new)
        visits = comparison.visits(session, old, new)
        moved = comparison.moved(session, old, new, listed)
    both = [pair for pair in pairs if pair.old_grade is not None]
    by_grade = [[0] * len(grades.GRADES) for _ in grades.GRADES]
    for pair in both:
        by_grade[pair.old_grade or 0][pair.new_grade] += pair.count
    by_result = {was: dict.fromkeys(RESULTS, 0) for was in RESULTS}
    for was, now, count in visits:
        by_result[was][now] = count
    return Changes(
        old=old,
        new=new,
        compared=sum(pair.count for pair in both),
        only_new=sum(pair.count for pair in pairs if pair.old_grade is None),
        to_referable=sum(pair.count for pair in both if pair.new_referable and not pair.old_referable),
        to_not_referable=sum(pair.count for pair in both if pair.old_referable and not pair.new_referable),
        by_grade=by_grade,
        visits=by_result,
        listed=moved,
    )


def write_changes(objects: Objects, run_id: str, found: Changes) -> str:
    """Put ``changes.html`` and ``changes.json`` under ``reports/<run>/``; the page's key. Raises StorageError."""
    folder = f"reports/{run_id}/"
    values: dict[str, Any] = asdict(found) | {"run": run_id, "unlisted": found.unlisted, "notice": NOTICE}
    objects.put(f"{folder}changes.json", json.dumps(values, indent=2).encode(), "application/json")
    objects.put(f"{folder}changes.html", page(run_id, found), "text/html; charset=utf-8")
    return f"{folder}changes.html"


def page(run_id: str, found: Changes) -> bytes:
    """The report as one HTML file."""
    old, new = (f"{by.model} version {by.version}" for by in (found.old, found.new))
    said = f"{many(found.compared, 'photograph')} graded by both; {found.only_new:,} by the newer version alone."
    lost = (
        "A photograph that is no longer referable is a patient whom the older version would have sent: look at these."
        if found.to_not_referable
        else "No photograph stops being referable."
    )
    parts = [
        "<h1>Who changes side of the referable line</h1>",
        f"<p class='soft small'>Run {say(run_id)} · from {say(old)} to {say(new)}</p>",
        f"<div class='verdict{' bad' if found.to_not_referable else ''}'><b>{found.to_referable:,} become referable, "
        f"{found.to_not_referable:,} stop being referable.</b> {say(said)} {say(lost)}"
        f"<p class='soft small'>{say(NOTICE)}</p></div>",
        "<div class=grid>",
        section("Photographs by grade", _grades(found), paragraph("Row: older version. Column: newer.", soft=True)),
        section("Visits by outcome", _visits(found), paragraph("Row: older version. Column: newer.", soft=True)),
        "</div>",
        _list(found),
        f"<footer>{say(NOTICE)}</footer>",
    ]
    return document(f"Changes {run_id}", parts)


def _grades(found: Changes) -> str:
    head = ("", *(str(grade) for grade in grades.GRADES))
    rows = [
        (f"{grade} {grades.name(grade)}", *(f"{n:,}" for n in row))
        for grade, row in zip(grades.GRADES, found.by_grade, strict=True)
    ]
    return table(head, rows, numbers=(1, 2, 3, 4, 5))


def _visits(found: Changes) -> str:
    rows = [(was, *(f"{n:,}" for n in now.values())) for was, now in found.visits.items()]
    return table(("", *RESULTS), rows, numbers=(1, 2, 3, 4))


def _list(found: Changes) -> str:
    rows = [
        (
            "becomes referable" if one.new_referable else "no longer referable",
            one.sha256[:12],
            one.eye,
            one.old_grade,
            one.new_grade,
            f"{one.old_probability:.3f}",
            f"{one.new_probability:.3f}",
        )
        for one in found.listed
    ]
    head = ("", "photograph", "eye", "grade before", "after", "P(referable) before", "after")
    more = f"{found.unlisted:,} more change side and are not listed." if found.unlisted > 0 else ""
    body = table(head, rows, numbers=(3, 4, 5, 6)) or paragraph("None.", soft=True)
    return section("Photographs that change side", body, paragraph(more) if more else "", wide=True)
