"""The columns of a table of outcomes, shared by CSV and Parquet."""

from typing import Any

from clarity.storage.outgoing import VisitRow

COLUMNS: tuple[str, ...] = (
    "patient", "visit", "visited_on", "result", "priority", "worst_grade",
    "left_grade", "left_quality", "right_grade", "right_quality", "macular_oedema",
    "policy", "action", "due_on", "not_derivable", "reasons",
    "model", "model_version", "superseded", "reviewed_at", "reviewers", "updated_at",
)  # fmt: skip


def values(row: VisitRow) -> dict[str, Any]:
    """A row by column, with its own types; lists stay lists."""
    eyes = {
        "left_grade": row.left.grade,
        "left_quality": row.left.quality,
        "right_grade": row.right.grade,
        "right_quality": row.right.quality,
    }
    return {name: eyes[name] if name in eyes else getattr(row, name) for name in COLUMNS}
