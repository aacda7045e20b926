"""The rows of a bench as a person reads them: on a terminal, and as docs/performance.md."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from rich.table import Column, Table

from clarity.bench.rows import Row

_HEAD = """# Performance

Written by `clarity bench --page docs/performance.md`: medians of interleaved repeats in one run, ratios first, both
sides on the same inputs and threads, results held equal before they are timed. The usual way of doing the same is in
`clarity/bench/`, fairly written, to be read and criticised.
"""


def table(rows: Sequence[Row]) -> Table:
    """A line a row, for a terminal."""
    shown = Table(Column("bench", no_wrap=True), "value", "target", "holds", "behind it")
    for row in rows:
        verdict = "-" if row.target is None else "[green]yes[/]" if row.holds else "[red]no[/]"
        shown.add_row(row.name, _value(row), _target(row), verdict, _detail(row))
    return shown


def markdown(rows: Sequence[Row], machine: Mapping[str, str]) -> str:
    """The page, with the machine and the day."""
    facts = "\n".join(f"- {name}: {value}" for name, value in machine.items())
    lines = ["| bench | value | target | holds | behind it |", "|---|---|---|---|---|"]
    for row in rows:
        verdict = "" if row.target is None else "yes" if row.holds else "**no**"
        lines.append(f"| `{row.name}` | {_value(row)} | {_target(row)} | {verdict} | {_detail(row)} |")
    return f"{_HEAD}\nMeasured on {datetime.now(UTC):%Y-%m-%d}:\n\n{facts}\n\n" + "\n".join(lines) + "\n"


def _value(row: Row) -> str:
    return f"{100 * row.value:.3g}%" if row.unit == "share" else f"{row.value:.3g} {row.unit}"


def _target(row: Row) -> str:
    if row.target is None:
        return ""
    sign = "≥" if row.more_is_better else "≤"
    return f"{sign} {100 * row.target:.3g}%" if row.unit == "share" else f"{sign} {row.target:g} {row.unit}"


def _detail(row: Row) -> str:
    said = (f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.detail.items())
    return ", ".join(said)
