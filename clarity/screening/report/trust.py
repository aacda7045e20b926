"""Sections of a night's page: what went wrong, how long it took, and whether to believe it."""

from typing import Any

from clarity.screening.report import plots
from clarity.screening.report.page import many, paragraph, say, section, table
from clarity.screening.report.summary import Summary


def canaries(summary: Summary) -> str:
    """Photographs of known answer."""
    changed = "".join(f"<li>{say(sentence)}</li>" for sentence in summary.canaries_changed)
    if changed:
        known = f"{len(summary.canaries_changed)} of {summary.canaries or len(summary.canaries_changed)} changed"
        return section(
            "Canaries", paragraph(f"{known}: do not trust this night before that is explained."), f"<ul>{changed}</ul>"
        )
    if summary.canaries is None:
        return section("Canaries", paragraph("Not known: none rode in this run.", soft=True))
    return section("Canaries", paragraph(f"All {summary.canaries} photographs of known answer came back the same."))


def steps(summary: Summary) -> str:
    """Duration and throughput."""
    rate = "not known" if summary.throughput is None else f"{summary.throughput:.2f} photographs a second"
    said = paragraph(f"{_duration(summary.seconds)} in all; throughput {rate}.")
    if not summary.steps:
        return section("Time", said, paragraph("How long each step took is not known.", soft=True))
    slowest = paragraph(f"Slowest step: {summary.slowest}, {_duration(summary.steps[summary.slowest or ''])}.")
    return section("Time", said, slowest, plots.steps(summary.steps))


def origin(summary: Summary) -> str:
    """What decided every result of this run."""
    rows = (
        ("model", f"{summary.model} version {summary.model_version}"),
        ("imaging fingerprint", summary.fingerprint),
        ("precision", summary.precision or "not known"),
        ("referral policy", summary.policy or "not known"),
        ("run", summary.run),
        ("files", summary.report),
    )
    return section("Origin", table(("", ""), rows))


def failures(summary: Summary) -> str:
    """What failed for no photograph's reason."""
    if not summary.errors:
        return ""
    more = summary.error_count - len(summary.errors)
    rest = paragraph(f"and {many(more, 'more')}") if more > 0 else ""
    return section("Failures", table(("",), [(error,) for error in summary.errors]), rest, wide=True)


def quarantine(summary: Summary) -> str:
    """By kind and reason, an example each."""
    rows = [
        (row["kind"], f"{row['count']:,}", f"{row['new']:,}", row["reason"], row["key"]) for row in summary.quarantine
    ]
    if not rows:
        return section("Quarantine", paragraph("This run put nothing into quarantine.", soft=True), wide=True)
    more = paragraph(f"and {summary.quarantine_more} kinds of reason more") if summary.quarantine_more else ""
    head = ("kind", "count", "new", "reason, for example", "object, for example")
    return section("Quarantine", table(head, rows, numbers=(1, 2)), more, wide=True)


def drift(summary: Summary) -> str:
    """Each watched distribution, those that drifted first."""
    if summary.drift is None:
        return section("Drift", paragraph("Not known: nothing was compared in this run.", soft=True), wide=True)
    ordered = sorted(summary.drift, key=lambda row: not row["found"])
    rows = [
        (
            row["name"],
            _verdict(row),
            _number(row["psi"]),
            _number(row["critical"]),
            row["n"],
            row["sentence"],
        )
        for row in ordered
    ]
    head = ("distribution", "drift", "PSI", "critical", "n", "")
    return section(
        "Drift against the training data",
        table(head, rows, numbers=(2, 3, 4)) or paragraph("Nothing is watched.", soft=True),
        wide=True,
    )


def _verdict(row: dict[str, Any]) -> str:
    return "found" if row["found"] else "none" if row["psi"] is not None else "not known"


def _number(value: Any) -> str:
    return "not known" if value is None else f"{value:.3g}" if isinstance(value, float) else f"{value}"


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min" if whole >= 3600 else f"{whole // 60} min {whole % 60} s"
