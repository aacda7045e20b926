"""The summary as text: the rows that the command prints, and Prefect's artifact in Markdown."""

from collections.abc import Mapping
from typing import Any

from clarity import grades
from clarity.screening.report.page import many, share
from clarity.screening.report.summary import NOTICE, PRIORITIES, Summary


def rows(summary: Summary) -> list[tuple[str, str]]:
    """Name and value of each figure, in the order in which a person wants them; also what the command prints."""
    unknown = "not known"
    first = zip(PRIORITIES, summary.first, strict=True)
    slowest = summary.slowest
    return [
        *((f"do first: visits {what}", _first(row)) for what, row in first),
        ("waiting in quarantine", f"{summary.waiting_for_a_person:,}"),
        ("registered", f"{summary.registered:,}"),
        ("scored", f"{summary.scored:,}"),
        ("ungradable", _of(summary.ungradable, summary.scored + summary.ungradable)),
        ("left to a person by the model", _of(summary.abstained, summary.scored)),
        ("to photograph again", f"{summary.recapture:,}"),
        ("quarantined", f"{summary.quarantined:,} ({summary.quarantined_new:,} new)"),
        ("failed", f"{summary.failed:,}"),
        *((f"outcome: {name}", f"{count:,}") for name, count in summary.outcomes.items()),
        *((_grade(row["grade"], row["outside"]), _of(row["count"], summary.scored)) for row in summary.mix),
        ("canaries", _canaries(summary)),
        ("drift", _drift(summary)),
        ("limits", _limits(summary)),
        ("notification", summary.notified or "nothing to tell"),
        ("seconds", f"{summary.seconds:.1f}"),
        ("photographs a second", unknown if summary.throughput is None else f"{summary.throughput:.2f}"),
        ("slowest step", unknown if slowest is None else f"{slowest}, {summary.steps[slowest]:.1f} s"),
        ("model version", f"{summary.model} {summary.model_version}"),
        ("precision", summary.precision or unknown),
        ("referral policy", summary.policy or unknown),
        ("report in the object store", f"{summary.report}report.html"),
    ]


def markdown(summary: Summary) -> str:
    """The summary as a Prefect artifact."""
    text = f"# Screening {summary.run}: {summary.status}\n\n{NOTICE}\n\n| | |\n|---|---|\n"
    text += "".join(f"| {name} | {_cell(value)} |\n" for name, value in rows(summary))
    for title, said in sentences(summary).items():
        text += f"\n## {title}\n" + "".join(f"- {_cell(sentence)}\n" for sentence in said)
    if summary.quarantine:
        text += "\n## Quarantine\n\n| kind | count | new | reason, for example | object, for example |\n"
        text += "|---|---|---|---|---|\n"
        text += "".join(
            f"| {row['kind']} | {row['count']} | {row['new']} | {_cell(row['reason'])} | {_cell(row['key'])} |\n"
            for row in summary.quarantine
        )
    return text


def sentences(summary: Summary) -> dict[str, list[str]]:
    """What needs words, by its title; only what there is."""
    drifted = [str(row["sentence"]) for row in summary.drift or () if row["found"]]
    said = {"Limits passed": summary.limits_passed, "Failed": summary.errors, "Canaries": summary.canaries_changed}
    return {title: found for title, found in (said | {"Drift": drifted}).items() if found}


def _first(row: Mapping[str, Any]) -> str:
    """All that wait; how many of them this run found, where they are not the same; the earliest date."""
    waits, found, due = max(row["waiting"], row["visits"]), row["visits"], row["due_on"]
    told = [f"{found:,} of this run"] * (found != waits) + [f"the first due by {due}"] * bool(due)
    return f"{waits:,}" + (f" ({', '.join(told)})" if waits and told else "")


def _of(count: int, total: int) -> str:
    return f"{count:,} ({share(count / total)})" if total else f"{count:,}"


def _grade(grade: int, outside: bool | None) -> str:
    return f"grade {grade}, {grades.name(grade)}" + (" (unusual beside the nights before)" if outside else "")


def watched(summary: Summary) -> list[tuple[str, str]]:
    """What the watch over the model found, a sentence a watch: none where all is well or nothing is known."""
    changed, found = len(summary.canaries_changed), [str(row["name"]) for row in summary.drift or () if row["found"]]
    canaries = f"canaries: {changed} of {summary.canaries or changed} came back changed"
    drift = f"drift: found in {', '.join(found)}"
    return [("canaries", canaries)] * bool(changed) + [("drift", drift)] * bool(found)


def _canaries(summary: Summary) -> str:
    if summary.canaries_changed:
        return f"{len(summary.canaries_changed)} of {summary.canaries or len(summary.canaries_changed)} changed"
    return "not known" if summary.canaries is None else f"all {summary.canaries} the same"


def _drift(summary: Summary) -> str:
    if summary.drift is None:
        return "not known"
    found = [str(row["name"]) for row in summary.drift if row["found"]]
    judged = [row for row in summary.drift if row["psi"] is not None]
    none = f"none in {many(len(judged), 'distribution')}" if judged else "not known: too few photographs"
    return f"found in {', '.join(found)}" if found else none


def _limits(summary: Summary) -> str:
    if summary.limits_passed:
        return f"{len(summary.limits_passed)} passed"
    return "none passed" if summary.limits_known else "not known"


def _cell(text: str) -> str:
    """Names come from outside: nothing in them may become markup or a line of its own."""
    plain = " ".join(text.split())
    return "".join(f"\\{c}" if c in "|\\`*_[]<>#" else c for c in plain)
