"""The page of a night: what to do first, then what was found, then whether to believe it."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from clarity.screening.report import found, trust
from clarity.screening.report.contact import Tile
from clarity.screening.report.page import document, many, say, section
from clarity.screening.report.summary import Summary
from clarity.screening.report.table import watched

_FIRST = (
    ("with vision-threatening DR", "refer first", "now"),
    ("with referable DR", "refer", "now"),
    ("of which the model is not certain", "a person has to look at the photographs", ""),
    ("ungradable or incomplete", "", ""),
)
"""By priority: what a visit is, what to do, how it stands out."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """What the page shows beside figures."""

    tiles: Sequence[Tile] = ()
    graded: Sequence[int] = ()
    """Histogram of the quality score."""
    ungradable: Sequence[int] = ()


def page(summary: Summary, pictures: Pictures) -> bytes:
    """The night as one HTML file."""
    when = summary.started_at.replace("T", ", ").removesuffix(":00+00:00").replace("+00:00", "")
    what = "Rescoring" if summary.kind == "rescore" else "Screening"
    parts = [
        f"<h1>{say(what)} of {say(when)} UTC</h1>",
        f"<p class='soft small'>Run {say(summary.run)} · {say(summary.model)} version {say(summary.model_version)}</p>",
        _verdict(summary),
        "<h2>Do first</h2>",
        _first(summary),
        "<div class=grid>",
        *(build(summary) for build in (found.found, found.outcomes, found.mix, found.reasons)),
        found.quality(pictures.graded, pictures.ungradable),
        *(build(summary) for build in (trust.canaries, trust.steps, trust.origin)),
        "</div>",
        *(build(summary) for build in (trust.failures, trust.quarantine, trust.drift)),
        _overlays(summary, pictures.tiles),
        f"<footer>{say(summary.notice)}</footer>",
    ]
    return document(f"{what} {summary.run}: {summary.status}", parts)


def _verdict(summary: Summary) -> str:
    warnings = _warnings(summary)
    said = "Failed." if summary.status != "completed" else "Completed, with warnings." if warnings else "Completed."
    done = f"{many(summary.scored, 'photograph')} graded, {summary.ungradable:,} ungradable, {summary.failed:,} failed"
    judged = "" if summary.limits_passed else "; no limit was passed" if summary.limits_known else "; limits not judged"
    lines = [*warnings, *([summary.notified] if summary.notified else [])]
    items = "".join(f"<li>{say(line)}</li>" for line in lines)
    return (
        f"<div class='verdict{' bad' if warnings else ''}'><b>{said}</b> {say(done + judged)}."
        f"{f'<ul>{items}</ul>' if items else ''}<p class='soft small'>{say(summary.notice)}</p></div>"
    )


def _warnings(summary: Summary) -> list[str]:
    """What failed and what passed a limit, then what would have passed a stricter one."""
    lines = list(summary.limits_passed)
    if summary.error_count:
        lines.append(f"{many(summary.error_count, 'failure')}, first: {summary.errors[0]}")
    lines += [line for name, line in watched(summary) if not any(said.startswith(name) for said in lines)]
    if unusual := [f"{row['grade']}" for row in summary.mix if row["outside"]]:
        lines.append(f"grades {', '.join(unusual)}: their share is unusual beside the {summary.nights} nights before")
    return lines


def _first(summary: Summary) -> str:
    rows = []
    for row, (what, todo, now) in zip(summary.first, _FIRST, strict=True):
        waits = max(row["waiting"], row["visits"])
        due = f"the first due by {row['due_on']}" if row["due_on"] else ""
        again = f"{many(summary.recapture, 'photograph')} to take again" if row["priority"] == 3 else todo
        new = f"{row['visits']:,} of this run" if waits != row["visits"] else ""
        said = "; ".join(part for part in (again, due, new) if part)
        rows.append(_item(waits, f"{_noun(waits, 'visit')} {what}", said, now))
    waits = summary.waiting_for_a_person
    said = f"{summary.quarantined_new:,} new in this run: say whose they are, or dismiss them"
    rows.append(_item(waits, f"{_noun(waits, 'object')} in quarantine", said, ""))
    if summary.failed:
        rows.append(
            _item(summary.failed, "not judged, for a reason that is not theirs", "the next run tries again", "now")
        )
    return f"<ol class=first>{''.join(rows)}</ol>"


def _item(count: int, what: str, todo: str, now: str) -> str:
    kind = now if count else "none"
    do = f"<span class=soft>{say(todo)}</span>" if count else ""
    return f"<li class='{kind}'><b>{count:,}</b><span><span class=what>{say(what)}</span>{do}</span></li>"


def _noun(count: int, one: str) -> str:
    return one if count == 1 else f"{one}s"


def _overlays(summary: Summary, tiles: Sequence[Tile]) -> str:
    if not tiles:
        return ""
    figures = "".join(
        f"<figure><img alt='overlay' src='data:image/jpeg;base64,{base64.b64encode(tile.jpeg()).decode()}'>"
        f"<figcaption><b>{say(tile.lines[0])}</b><br>{say(tile.lines[1])}<br>"
        f"<span class=soft>{say(tile.lines[2])}</span></figcaption></figure>"
        for tile in tiles
    )
    title = f"Worst first: {len(tiles)} of {many(summary.scored, 'graded photograph')}"
    return section(title, f"<div class=tiles>{figures}</div>", wide=True)
