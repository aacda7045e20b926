"""One page on a version of the data set: what is in it, from where, and what was kept out and why."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from clarity import grades
from clarity.data.likeness import PAIR_COLUMNS
from clarity.data.manifest import spelled
from clarity.data.merge import TWO_GRADES, DataSet

_SHOWN = 20
_LISTS = (("Eye", "by_eye"), ("Quality, as the source says", "by_quality"), ("Official side", "by_official_side"))


def figures(data: DataSet, pairs: pd.DataFrame) -> dict[str, Any]:
    """Counts as plain JSON: total, patients, by source, grade, eye, quality and side, quarantine, near-duplicates."""
    table = data.manifest
    grade = spelled(table["grade"])
    return {
        "total": len(table),
        "patients": int(table["patient"].nunique()),
        "bytes": int(table["bytes"].sum()),
        "by_grade": _counts(grade),
        "by_source": {str(s): _counts(grade[table["source"] == s]) for s in sorted(table["source"].unique())},
        "by_eye": _counts(table["eye"]),
        "by_quality": _counts(table["quality"].replace("", "not said")),
        "by_official_side": _counts(table["split"].replace("", "none")),
        "duplicates": len(data.duplicates),
        "two_grades": int(data.quarantine["reason"].str.startswith(TWO_GRADES).sum()),
        "quarantined": len(data.quarantine),
        "near_duplicates": len(pairs),
    }


def left_out(count: int, first: Sequence[str]) -> str:
    """In words, the images that no row of a source uses; empty where there are none."""
    names = ", ".join(first) + (", …" if count > len(first) else "")
    return f"{count} {'image' if count == 1 else 'images'} that no row uses ({names})" if count else ""


def page(version: str, data: DataSet, pairs: pd.DataFrame, left: str) -> str:
    """The same as Markdown, with the rows of the quarantine and the near-duplicates named; ``left``: one more line."""
    said = figures(data, pairs)
    lines = [f"# Data set {version[:12]}", ""]
    if set(said["by_source"]) & {"phantoms"}:
        lines += ["Contains **phantoms**: drawn, not photographs. No figure from them is a clinical one.", ""]
    lines += [
        f"{said['total']} photographs of {said['patients']} patients, {said['bytes'] / 1e6:.0f} MB; "
        f"{said['duplicates']} repeats left out, {said['quarantined']} rows in quarantine.",
        "",
        *([left, ""] if left else []),
        *_grade_table(said),
        "",
    ]
    for title, key in (
        ("Eye", "by_eye"),
        ("Quality, as the source says", "by_quality"),
        ("Official side", "by_official_side"),
    ):
        lines.append(f"- {title}: " + ", ".join(f"{name} {count}" for name, count in said[key].items()))
    lines += ["", *_quarantine(data.quarantine), *_pairs(pairs)]
    return "\n".join(lines).rstrip() + "\n"


def _counts(column: pd.Series) -> dict[str, int]:
    return {str(name): int(count) for name, count in column.value_counts().sort_index().items()}


def _grade_table(said: dict[str, Any]) -> list[str]:
    keys = [str(grade) for grade in grades.GRADES] + ["none"]
    titles = [f"{g} {grades.NAMES[g]}" for g in grades.GRADES] + ["no grade"]
    lines = ["| source | " + " | ".join(titles) + " | all |", "|---" * (len(keys) + 2) + "|"]
    rows = {**said["by_source"], "**all**": said["by_grade"]}
    for name, counts in rows.items():
        cells = [str(counts.get(key, 0)) for key in keys]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {sum(counts.values())} |")
    return lines


def _quarantine(table: pd.DataFrame) -> list[str]:
    if table.empty:
        return []
    lines = ["## Quarantine", "", "| source | name | reason |", "|---|---|---|"]
    ordered = table.sort_values(["sha256", "source", "name"])
    lines += [f"| {r.source} | {r.name_} | {r.reason} |" for r in _rows(ordered.head(_SHOWN))]
    return [*lines, *_more(table), ""]


def _pairs(pairs: pd.DataFrame) -> list[str]:
    if pairs.empty:
        return []
    lines = [
        "## Nearly the same photograph, different patients",
        "",
        "| one | other | bits of 64 | of 256 |",
        "|---|---|---|---|",
    ]
    for row in pairs[PAIR_COLUMNS].head(_SHOWN).itertuples(index=False):
        lines.append(f"| {row.name_a} | {row.name_b} | {row.bits} | {row.detail_bits} |")
    return [*lines, *_more(pairs), ""]


def _rows(table: pd.DataFrame) -> Any:
    return table.rename(columns={"name": "name_"}).itertuples(index=False)


def _more(table: pd.DataFrame) -> list[str]:
    return ["", f"… and {len(table) - _SHOWN} more."] if len(table) > _SHOWN else []
