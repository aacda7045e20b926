"""Sections of a night's page: what was found."""

from collections.abc import Sequence
from typing import Any

from clarity import grades
from clarity.screening.report import plots
from clarity.screening.report.mix import FEWEST, Share
from clarity.screening.report.page import many, paragraph, section, share, table
from clarity.screening.report.summary import Summary


def found(summary: Summary) -> str:
    """Counts of photographs."""
    judged = summary.scored + summary.ungradable
    rows: list[tuple[str, int, str]] = [
        ("registered", summary.registered, ""),
        ("graded", summary.scored, share(summary.scored / judged) if judged else ""),
        ("ungradable", summary.ungradable, share(summary.ungradable / judged) if judged else ""),
        ("left to a person", summary.abstained, share(summary.abstained / summary.scored) if summary.scored else ""),
        ("to photograph again", summary.recapture, ""),
        ("new in quarantine", summary.quarantined_new, ""),
        ("met again in quarantine", max(0, summary.quarantined - summary.quarantined_new), ""),
        ("failed, tried again by the next run", summary.failed, ""),
    ]
    return section("Photographs", table(("", "count", "share"), [(a, f"{n:,}", s) for a, n, s in rows], numbers=(1, 2)))


def outcomes(summary: Summary) -> str:
    """Visits by result."""
    if not any(summary.outcomes.values()):
        return section("Visits", paragraph("No outcome was written by this run.", soft=True))
    return section(
        "Visits by outcome", plots.outcomes(summary.outcomes), paragraph("Macular oedema is not assessed.", soft=True)
    )


def mix(summary: Summary) -> str:
    """The grades, beside the nights before."""
    if not summary.scored:
        return section("Grades", paragraph("No photograph was graded by this run.", soft=True))
    outside = [grades.name(row["grade"]) for row in summary.mix if row["outside"]]
    if summary.nights < FEWEST:
        said = f"Whether that is usual is not known: {many(summary.nights, 'completed night')} before this one."
    elif outside:
        said = f"Unusual: {', '.join(outside)} lies outside the {summary.nights} nights before, by more than chance."
    else:
        said = f"Not unusual beside the {summary.nights} nights before (their median and range: lines in the plot)."
    rows = [
        (f"{row['grade']} {grades.name(row['grade'])}", f"{row['count']:,}", share(row["share"]), _before(row))
        for row in summary.mix
    ]
    head = ("grade", "count", "share", "nights before")
    return section("Grades", plots.grade_mix(summary.mix), paragraph(said), table(head, rows, numbers=(1, 2, 3)))


def _before(row: Share) -> str:
    if row["median"] is None or row["low"] is None or row["high"] is None:
        return "not known"
    return f"{100 * row['median']:.1f} ({100 * row['low']:.1f}–{100 * row['high']:.1f}) %"


def reasons(summary: Summary) -> str:
    """What the gate and the model said of what they did not decide."""

    def listed(title: str, rows: Sequence[dict[str, Any]], none: str) -> str:
        cells = [(row["reason"], f"{row['count']:,}", share(row["share"])) for row in rows]
        return table((title, "count", "share"), cells, numbers=(1, 2)) or paragraph(none, soft=True)

    return section(
        "Why ungradable, why left to a person",
        listed("ungradable because", summary.ungradable_reasons, "Nothing was ungradable."),
        "<p></p>",
        listed("left to a person because", summary.review_reasons, "The model left nothing to a person."),
    )


def quality(graded: Sequence[int], ungradable: Sequence[int]) -> str:
    """Histograms of the quality score."""
    if not any(graded) and not any(ungradable):
        return section("Quality", paragraph("Not known: no photograph was measured by this run.", soft=True))
    said = paragraph("Photographs by quality score: 0 worst, 1 best.", soft=True)
    return section("Quality", plots.qualities(graded, ungradable), said)
