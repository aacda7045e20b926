"""CSV that a spreadsheet shows and does not run: UTF-8, a line a visit, lists joined by " | ".

A cell that begins like a formula gets an apostrophe in front (OWASP, CSV injection); one that begins with an
apostrophe gets another, so that ``plain`` gives every cell back as it was.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from typing import Any

from clarity.screening.export import flat
from clarity.storage.outgoing import VisitRow

_STARTS = "=+-@\t\r\n＝＋－＠"
"""Also the full-width forms, which some spreadsheets read as the others."""
_BETWEEN = " | "


def lines(rows: Iterable[VisitRow]) -> Iterator[str]:
    """The header and a line a row, each with its line end."""
    yield _line(flat.COLUMNS)
    for row in rows:
        yield _line([cell(value) for value in flat.values(row).values()])


def cell(value: Any) -> str:
    """A value as text that no spreadsheet takes for a formula; nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date | datetime):
        return value.isoformat()
    text = _BETWEEN.join(value) if isinstance(value, tuple) else str(value)
    first = text.lstrip(" \u00a0")[:1]  # a spreadsheet may drop spaces before it looks
    return f"'{text}" if text.startswith("'") or (first and first in _STARTS) else text


def plain(text: str) -> str:
    """The cell as it was before ``cell`` made it safe."""
    return text.removeprefix("'")


def _line(cells: Iterable[str]) -> str:
    target = io.StringIO()
    csv.writer(target, lineterminator="\r\n").writerow(cells)  # RFC 4180
    return target.getvalue()
