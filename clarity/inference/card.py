"""The model card: what a bundle is, what it was trained on, how it did, and what it must not be used for."""

from collections.abc import Mapping

from clarity.inference.abstention import Abstention
from clarity.inference.parity import Parity
from clarity.inference.processor import Precision
from clarity.inference.spec import Facts
from clarity.records import Interval

_TEXT = """# {name}

Clarity is **decision support in development, not a medical device**. A person who is qualified to read fundus
photographs must look at every one of its results before anything is done about a patient.

## What it does
Reads one colour fundus photograph and gives its grade on the International Clinical Diabetic Retinopathy scale,
five calibrated probabilities, two screening outcomes, and a heatmap of what speaks for the grade.
The grades: {classes}.

- Network: {backbone}, {size} × {size} pixels, imaging fingerprint `{fingerprint}`.
- Decision: {decision}; temperature {temperature:.3f}.
- Referable (more than mild, grade 2 to 4): called from a probability of {referable:.3f}, and for every grade from 2.
- Vision-threatening (grade 3 and 4): called from a probability of {threatening:.3f}, and for every grade from 3.
- {abstention}
- Photographs below a quality score of {min_score:.2f} are ungradable: they get no grade, which is never "no DR".

## What it was trained on
{data_summary}

Data set version `{data_version}`, code `{git_commit}`, {created}.

## How it did on the test split of that data
{metrics}

## Where it hands over to a person
Of the same test split: the share of the gradable photographs that it decides on (coverage), and how it does on those.

{selective}

## Its forms
The figures above are those of the fp32 form. Each form was compared with the trained network (torch, float32) on the
validation split; only those that passed are in the bundle.

{forms}

## Limits
- **Macular oedema is not assessed.** It refers a patient by itself and cannot be seen by a five-grade network.
- No other disease of the eye is looked for; an answer says nothing about glaucoma, macular degeneration or tumours.
- Figures of an internal test split say little about another camera, clinic or population: judge it on your own
  photographs first.
- The energy by which it calls a photograph unfamiliar is a weak sign: what it does not call unfamiliar may be so.
- A heatmap shows where the evidence for a grade lies in the network, at a resolution of {size} / 32 cells. It is
  not a segmentation of lesions.
"""

_DECISIONS = {"expected": "the mean grade, rounded", "argmax": "the likeliest grade"}


def card(facts: Facts, fingerprint: str, parity: Mapping[Precision, Parity]) -> str:
    """The card as Markdown."""
    return _TEXT.format(
        name=facts.name,
        classes=", ".join(f"{grade} {name}" for grade, name in enumerate(facts.classes)),
        backbone=facts.backbone,
        size=facts.imaging.size,
        fingerprint=fingerprint,
        decision=_DECISIONS[facts.decision],
        temperature=facts.temperature,
        referable=facts.thresholds.referable,
        threatening=facts.thresholds.vision_threatening,
        abstention=_abstention(facts.abstention),
        selective=_table(facts.selective),
        min_score=facts.quality.min_score,
        data_summary=facts.data_summary,
        data_version=facts.data_version,
        git_commit=facts.git_commit,
        created=facts.created_at.strftime("%Y-%m-%d"),
        metrics=_table(facts.metrics),
        forms=_forms(parity),
    )


def _abstention(rule: Abstention | None) -> str:
    if rule is None:
        return "Never hands over to a person by itself: it was not evaluated."
    strange = "" if rule.energy is None else f", and where the photograph's energy is above {rule.energy:.3g}"
    near = f"Hands over to a person within {rule.margin:.2g} of the referable probability's threshold"
    return f"{near}{strange}; the grade stays."


def _table(metrics: dict[str, Interval]) -> str:
    if not metrics:
        return "Not evaluated."
    rows = [f"| {name} | {m.value:.3f} | {m.low:.3f} to {m.high:.3f} | {m.n} |" for name, m in metrics.items()]
    return "\n".join(["| metric | value | interval | n |", "|---|---|---|---|", *rows])


def _forms(parity: Mapping[Precision, Parity]) -> str:
    if not parity:
        return "Not compared."
    head = "| form | grades equal | QWK lower by | sensitivity lower by | heatmaps alike, median (5 %) | n | verdict |"
    rows = [f"| {name} | {_compared(found)} | {_verdict(found)} |" for name, found in parity.items()]
    return "\n".join([head, "|---|---|---|---|---|---|---|", *rows])


def _compared(found: Parity) -> str:
    said = {name: f"{value:.4f}" for name, value in found.figures().items()}
    cells = [said.get(name, "") for name in ("grades_equal", "qwk_drop", "sensitivity_drop")]
    alike = f"{said['spearman_median']} ({said['spearman_p5']})" if "spearman_p5" in said else ""
    return " | ".join([*cells, alike, str(found.n)])


def _verdict(found: Parity) -> str:
    return "passed" if found.passed else f"left out: {'; '.join(found.reasons)}"
