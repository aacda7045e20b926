"""What the demo says at its end: to people on the terminal, to programs in ``demo.json``. The same facts, twice."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

NOT_A_DEVICE = "Decision support in development, not a medical device."
PHANTOMS = "These are phantoms, drawn photographs: no figure here is a clinical one."
TEST_FIGURES = {
    "qwk": "qwk",
    "auroc_referable": "auroc_referable",
    "sensitivity": "sensitivity_referable",
    "specificity": "specificity_referable",
}
"""Name in demo.json -> name in metrics.json."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything the summary says."""

    timings_s: dict[str, float]
    dataset: dict[str, Any]
    test: dict[str, Any]
    gate: dict[str, Any]
    model_version: str
    screened: dict[str, Any]
    """Empty where the gate refused the only model: nothing is screened without a champion."""
    prediction: dict[str, Any]
    """Empty likewise."""
    peak_rss_mb: int
    files: dict[str, str]
    servers: dict[str, str]
    """Where to look once they run again."""
    overlay: str
    """The configuration over conf/pipeline.yaml, for going on with this model."""


def test_figures(metrics: dict[str, Any]) -> dict[str, Any]:
    """Of metrics.json's test figures: plain values by name, ``intervals`` (95 %) and ``n`` beside them.

    Shares have Wilson's interval (a bootstrap of 63 of 63 says 1.00 to 1.00), the others the one over resampled
    patients. A figure that is not defined, for example an AUROC without a referable photograph, is None.
    """
    found = {name: metrics.get(key) for name, key in TEST_FIGURES.items()}
    return {name: figure and figure["value"] for name, figure in found.items()} | {
        "intervals": {name: figure and _interval(figure) for name, figure in found.items()},
        "n": metrics["qwk"]["n"],
    }


def _interval(figure: dict[str, Any]) -> list[float]:
    return [figure.get(f"wilson_{end}", figure[end]) for end in ("low", "high")]


def write(facts: Facts, path: Path) -> None:
    """``demo.json``, replaced as a whole."""
    draft = path.with_suffix(".json.new")
    draft.write_text(json.dumps(asdict(facts), indent=2) + "\n", encoding="utf-8")
    draft.replace(path)


def show(facts: Facts, console: Console) -> None:
    """The summary for a person."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in _lines(facts):
        table.add_row(name, text)
    console.print(Panel(table, title="Clarity, from photographs to answers", padding=(1, 2)))
    for name, text in _next(facts):  # below the table and never broken: to be copied, or clicked on
        console.print(f"[bold]{name}[/]  {escape(text)}", soft_wrap=True)
    console.print(NOT_A_DEVICE, style="bold")
    if facts.dataset["phantoms"]:
        console.print(PHANTOMS, style="bold")


def _lines(facts: Facts) -> list[tuple[str, str]]:
    data, screened, answer = facts.dataset, facts.screened, facts.prediction
    timings = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in facts.timings_s.items() if name != "total")
    accepted = "promoted" if facts.gate["accepted"] else "refused"
    same = ", byte for byte the one that data.dvc names" if data["committed"] else ""
    return [
        (
            "Data set",
            f"version {data['version']}{same}; {data['total']} photographs, by grade {_counts(data['by_grade'])}",
        ),
        ("Quarantined", f"{data['quarantined']} photographs"),
        ("Test split", f"{facts.test['n']} photographs of patients that training never saw"),
        *((name, _figure(facts.test, key)) for name, key in _NAMES),
        ("Gate", accepted),
        *(("", reason) for reason in facts.gate["reasons"]),
        ("Model", f"{facts.model_version}"),
        ("Screened", _screened(screened)),
        ("One HTTP answer", _answer(answer)),
        ("Time", f"{facts.timings_s['total']:.0f} s: {timings}"),
        ("Memory", f"{facts.peak_rss_mb} MB at the peak, all processes summed"),
    ]


def _next(facts: Facts) -> list[tuple[str, str]]:
    return [
        *(("Look at", f"{path}  ({what})") for what, path in facts.files.items()),
        ("Go on  ", f"clarity up --config conf/pipeline.yaml --config {facts.overlay}"),
        *((name.ljust(7), where) for name, where in facts.servers.items()),
    ]


_NAMES = (
    ("QWK", "qwk"),
    ("AUROC, referable", "auroc_referable"),
    ("Sensitivity", "sensitivity"),
    ("Specificity", "specificity"),
)


def _figure(test: dict[str, Any], key: str) -> str:
    if test[key] is None:
        return "not defined on this test split"
    low, high = test["intervals"][key]
    return f"{test[key]:.2f} (95 % interval {low:.2f} to {high:.2f})"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in counts.items())


def _screened(screened: dict[str, Any]) -> str:
    if not screened:
        return "nothing: the gate refused the only model, and without a champion no photograph is graded"
    return f"{_counts(screened['captures'])}; patients: {_counts(screened['outcomes'])}"


def _answer(answer: dict[str, Any]) -> str:
    if not answer:
        return "none, for the same reason"
    if answer["grade"] is None:
        return f"ungradable: {', '.join(answer['quality']['reasons'])}"
    refer = "referable" if answer["referable"] else "not referable"
    return (
        f"grade {answer['grade']}, {answer['name']}, {answer['confidence']:.0%} confident, {refer},"
        f" macular oedema {answer['macular_oedema']}, {answer['round_trip_ms']:.0f} ms;"
        f" kept: {answer['history']['scans']} scans in the patient's history"
    )
