"""What one source says of one photograph: once, or twice the same, or things that cannot both be so.

Rows mean the same photograph where they resolve to the same file, however they spell it and in whichever table they
stand. Corrections come with another ingest; within one, no row is newer than the others.
"""

from collections.abc import Iterable
from dataclasses import replace

from clarity.data.sources.row import SourceRow

_SAID = {"grade": "grade", "eye": "eye", "patient": "patient", "split": "side", "field": "field", "quality": "quality",
         "problem": "fault"}  # fmt: skip
"""A row's fields that must agree, as people call them."""


def once(rows: Iterable[SourceRow]) -> list[SourceRow]:
    """The rows without repeats; where a photograph's rows contradict each other, each has that as its problem."""
    groups: dict[str, list[SourceRow]] = {}
    for row in rows:
        said = groups.setdefault(row.name, [])
        if all(_differ([row, other]) for other in said):
            said.append(row)
    return [row for said in groups.values() for row in _judged(said)]


def _judged(said: list[SourceRow]) -> list[SourceRow]:
    fields = _differ(said)
    if not fields:
        return said
    rows = "; ".join(f"{row.origin or row.name} {_words(row, fields)}".strip() for row in said)
    names = ", ".join(_SAID[field] for field in fields)
    problem = f"{len(said)} rows contradict each other ({names}): {rows}"
    return [replace(row, problem=problem) for row in said]


def _differ(rows: list[SourceRow]) -> list[str]:
    return [field for field in _SAID if len({getattr(row, field) for row in rows}) > 1]


def _words(row: SourceRow, fields: list[str]) -> str:
    """What the row says of these, but for whose it is: reasons are printed and logged."""
    if row.problem:
        return f"({row.problem})"
    values = {field: getattr(row, field) for field in fields if field not in ("patient", "problem")}
    shown = [f"{_SAID[field]} {'none' if value in (None, '') else value}" for field, value in values.items()]
    return "says " + ", ".join(shown) if shown else ""
