"""What a night found, for people: a page that says what to do first, figures, limits, and who is told."""

from clarity.screening.report.changes import Changes, changes, write_changes
from clarity.screening.report.limits import insist, judge
from clarity.screening.report.publish import write
from clarity.screening.report.reading import summarise
from clarity.screening.report.summary import NOTICE, Known, Summary
from clarity.screening.report.table import markdown, rows, sentences

__all__ = [
    "NOTICE",
    "Changes",
    "Known",
    "Summary",
    "changes",
    "insist",
    "judge",
    "markdown",
    "rows",
    "sentences",
    "summarise",
    "write",
    "write_changes",
]
