"""One HTML file that holds everything a person reads about an evaluation: no script, no link, pictures inlined."""

import base64
import html
from collections.abc import Mapping
from pathlib import Path

from clarity.inference.parity import Parity
from clarity.inference.processor import Precision
from clarity.inference.spec import Facts
from clarity.records import Interval
from clarity.training.judging import Evaluation

_STYLE = """
body{font:16px/1.55 system-ui,sans-serif;color:#1f2933;background:#fff;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin-bottom:.2rem} h2{font-size:1.15rem;margin-top:2.2rem}
table{border-collapse:collapse;font-variant-numeric:tabular-nums} td,th{padding:.28rem .9rem .28rem 0;text-align:left}
tr+tr td{border-top:1px solid #e4e7eb} th{font-weight:600;border-bottom:2px solid #cbd2d9}
table{margin-bottom:1.2rem} .wide{overflow-x:auto} .wide td{vertical-align:top} .wide td:nth-child(2){min-width:8rem}
img{max-width:100%;height:auto} .pair{display:flex;flex-wrap:wrap;gap:1rem} .pair img{max-width:min(100%,27rem)}
.warn{background:#fff4e5;border-left:4px solid #c2410c;padding:.7rem 1rem;margin:1rem 0}
.soft{color:#616e7c} code{font-size:.9em}
@media(max-width:40rem){body{font-size:14px;margin:1rem auto} td,th{padding-right:.5rem} th{hyphens:auto}}
"""
_LABELS = {
    "qwk": "Quadratic weighted kappa",
    "accuracy": "Accuracy",
    "ece": "Expected calibration error",
    "auroc_referable": "AUROC, referable (grade 2 or worse)",
    "sensitivity_referable": "Sensitivity, referable",
    "specificity_referable": "Specificity, referable",
    "auroc_vision_threatening": "AUROC, vision-threatening (grade 3 or worse)",
    "sensitivity_vision_threatening": "Sensitivity, vision-threatening",
    "specificity_vision_threatening": "Specificity, vision-threatening",
    "imageability": "Imageability (share gradable)",
}
NOT_A_DEVICE = "Decision support in development, not a medical device. Macular oedema is not assessed."
PHANTOMS = (
    "These are phantoms: drawings made by a program, not photographs of eyes. The figures show that the pipeline "
    "works; they say nothing about real eyes and must never be quoted as clinical."
)


_FORM_FIGURES = {
    "grades_equal": ("grades equal", "{:.2%}"),
    "qwk_drop": ("kappa lower by", "{:.4f}"),
    "sensitivity_drop": ("sensitivity lower by", "{:.4f}"),
    "spearman_median": ("heatmaps alike, median", "{:.3f}"),
    "spearman_p5": ("heatmaps alike, 5th percentile", "{:.3f}"),
    "worst_relative": ("largest deviation", "{:.1e}"),
}


def write(
    target: Path,
    pictures: Path,
    result: Evaluation,
    facts: Facts,
    parity: Mapping[Precision, Parity],
    *,
    phantoms: bool,
) -> None:
    """Write the report; ``pictures`` is the folder of the PNGs, ``parity`` how each form compares with torch."""
    test = result.test.intervals | {"imageability": result.imageability["all"]}
    counts = "".join(
        _row(split, str(c["photographs"]), str(c["patients"]), str(c["gradable"])) for split, c in result.counts.items()
    )
    parts = [
        f"<h1>{html.escape(facts.name)}: evaluation</h1>",
        f"<p class='soft'>{html.escape(facts.data_summary)}</p>",
        f"<p class='warn'><strong>{NOT_A_DEVICE}</strong>{'<br>' + PHANTOMS if phantoms else ''}</p>",
        "<h2>Test split</h2>",
        _figures(test, result.test.wilson),
        f"<p class='soft'>{_method(result)}</p>",
        "<h2>Where it hands over to a person</h2>",
        _selective(result),
        "<h2>Photographs</h2><table>" + _head("split", "photographs", "patients", "gradable") + counts + "</table>",
        "<h2>Grades and outcomes</h2>" + _pair(pictures, "confusion.png", "roc.png"),
        "<h2>Calibration</h2>" + _pair(pictures, "reliability.png"),
        "<h2>Training</h2>" + _image(pictures / "curves.png"),
        "<h2>Worst errors, with the heatmap of the predicted grade</h2>" + _image(pictures / "errors.png"),
        *_sources(result),
        "<h2>Forms</h2>" + _forms(parity),
        "<h2>Origin</h2>" + _origin(facts),
    ]
    page = "<!doctype html><html lang='en'><head><meta charset='utf-8'><meta name='viewport' "
    page += f"content='width=device-width'><title>{html.escape(facts.name)}: evaluation</title>"
    page += f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    target.write_text(page, encoding="utf-8")


def _figures(found: dict[str, Interval], wilson: dict[str, tuple[float, float]]) -> str:
    rows = []
    for name, label in _LABELS.items():
        if name not in found:
            continue
        value = found[name]
        if not value.n:
            rows.append(_row(label, "not defined", "", "", "0"))
            continue
        independent = f"{wilson[name][0]:.3f} to {wilson[name][1]:.3f}" if name in wilson else ""
        interval = f"{value.low:.3f} to {value.high:.3f}"
        rows.append(_row(label, f"{value.value:.3f}", interval, independent, str(value.n)))
    return "<table>" + _head("figure", "value", "95 % interval", "Wilson", "n") + "".join(rows) + "</table>"


def _selective(result: Evaluation) -> str:
    """The same figures of all photographs and of those that it decides on, side by side."""
    found, rule = result.selective["all"], result.operating.abstention
    decided, every = found.figures.intervals, result.test.intervals
    rows = [
        _row(label, _shown(every[name]), _shown(decided[name]), str(decided[name].n))
        for name, label in _LABELS.items()
        if name in decided
    ]
    share, cut = found.coverage, "none" if rule.energy is None else f"{rule.energy:.3g}"
    text = (
        f"It decides on {share.value:.1%} ({share.low:.1%} to {share.high:.1%}) of {share.n} gradable photographs. "
        f"{found.reasons['near_threshold']} lie within {rule.margin:.2g} of the referable threshold, "
        f"{found.reasons['unfamiliar']} are unlike the training photographs (energy above {cut}). "
        "Both limits were chosen on the validation split. A grade is given either way."
    )
    table = _head("figure", "all", "decided on", "n decided on") + "".join(rows)
    return f"<p>{text}</p><table>{table}</table>"


def _shown(one: Interval) -> str:
    return f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})" if one.n else "not defined"


def _method(result: Evaluation) -> str:
    cuts = result.operating
    return (
        "n: photographs. Intervals resample patients (imageability: Wilson). Operating thresholds were chosen on the "
        f"validation split: referable from a probability of {cuts.referable:.3f}, vision-threatening from "
        f"{cuts.vision_threatening:.3f}; "
        "a photograph graded that badly is always called. Ungradable photographs get no grade and are left out of "
        "every figure but imageability."
    )


def _sources(result: Evaluation) -> list[str]:
    if len(result.sources) < 2:
        return []
    blocks = ["<h2>Each source by itself</h2>"]
    for name, found in result.sources.items():
        shown = found.intervals | {"imageability": result.imageability[name]}
        blocks.append(f"<h3>{html.escape(name)}</h3>" + _figures(shown, found.wilson))
    return blocks


def _forms(parity: Mapping[Precision, Parity]) -> str:
    rows = []
    for precision, found in parity.items():
        figures = found.figures()
        cells = (form.format(figures[name]) if name in figures else "" for name, (_, form) in _FORM_FIGURES.items())
        verdict = "passed" if found.passed else f"left out: {'; '.join(found.reasons)}"
        rows.append(_row(precision, verdict, *cells, str(found.n)))
    head = _head("form", "verdict", *(label for label, _ in _FORM_FIGURES.values()), "n")
    said = (
        "Each precision that the network can run at, compared with the trained network (torch, float32) on the "
        "validation split. Only those that passed are in the bundle; the figures above are those of fp32."
    )
    return f"<p class='soft'>{said}</p><div class='wide'><table>{head}{''.join(rows)}</table></div>"


def _origin(facts: Facts) -> str:
    rows = {
        "network": facts.backbone,
        "image size": f"{facts.imaging.size} pixels",
        "data set version": facts.data_version,
        "code": facts.git_commit,
        "temperature": f"{facts.temperature:.3f}",
        **facts.environment,
    }
    return "<table>" + "".join(_row(key, value) for key, value in rows.items()) + "</table>"


def _pair(folder: Path, *names: str) -> str:
    return "<div class='pair'>" + "".join(_image(folder / name) for name in names) + "</div>"


def _image(path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return f"<img alt='{path.stem}' src='data:image/png;base64,{data}'>"


def _head(*cells: str) -> str:
    return "<tr>" + "".join(f"<th>{cell}</th>" for cell in cells) + "</tr>"


def _row(*cells: str) -> str:
    return "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"
