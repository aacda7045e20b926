"""Evaluation: export, score, calibrate on validation, judge on test, write the bundle and what a person reads."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import pandas as pd

from clarity.errors import ManifestError
from clarity.imaging import to_tensor
from clarity.inference import abstention, decision, export
from clarity.inference import bundle as bundles
from clarity.inference.bundle import Bundle
from clarity.inference.engine import Engine
from clarity.inference.network import Network
from clarity.inference.parity import Parity
from clarity.inference.processor import Precision
from clarity.params import Params
from clarity.records import Tensor
from clarity.training import calibration, canaries, fit, forms, metrics, pictures, quantise, report, scoring
from clarity.training import facts as about
from clarity.training.datamodule import PreparedSet
from clarity.training.identity import Origin
from clarity.training.judging import Evaluation, judge
from clarity.training.metrics import Operating
from clarity.training.paths import Paths
from clarity.training.scoring import score_bundle
from clarity.training.tracking import Tracking, evaluation

__all__ = ["Evaluation", "Origin", "evaluate", "score_bundle"]
JUDGED = ("validation", "test")
TAGS = "tags.json"
"""In artifacts/evaluation/: what a model version of this evaluation is tagged with, once it is registered."""
_BATCH = 16


def evaluate(params: Params, paths: Paths, tracking: Tracking, origin: Origin) -> Evaluation:
    """Judge artifacts/training/best.ckpt; write artifacts/evaluation/ and artifacts/bundle/.

    Logits come from the exported graph on the engine that will run it, in float32. Temperature, thresholds, abstention
    and the reference of drift come from validation only. Raises ManifestError where a split has no gradable photograph,
    WeightsUnavailable, InferenceError, BundleError.
    """
    prepared = PreparedSet.open(paths)
    _need_photographs(prepared)
    paths.evaluation.mkdir(parents=True, exist_ok=True)
    paths.bundle.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".evaluate-", dir=paths.artifacts) as scratch:
        network = fit.load(params, paths.training / f"{fit.BEST}.ckpt")
        draft = _draft(params, network, Path(scratch), origin)
        engine = Engine.load(draft, precision="fp32")
        validation, test = (scoring.run(engine, prepared.rows(side), prepared.images) for side in JUDGED)
        temperature, operating = _calibrate(params, prepared, validation)
        frame = pd.concat([scoring.table(prepared, part, temperature, operating) for part in (validation, test)])
        result = judge(params.evaluate, prepared.table, frame, temperature, operating, paths.bundle)
        final = about.final(params, prepared, origin, result, about.reference(params.evaluate, prepared, frame))
        parity = _parity(params, prepared, network, draft.path, validation.rows, temperature, operating)
        canaries.write(paths.bundle, graph=draft.path, facts=final, parity=parity, count=params.evaluate.canaries)
        logits = {"validation": validation, "test": test}
        pictures.draw(params.evaluate, paths, prepared, engine, logits, frame, result.operating, temperature)
    frame.to_csv(paths.evaluation / "predictions.csv", index=False, float_format="%.6f")
    text = json.dumps(result.summary() | {"phantoms": about.is_phantoms(prepared)}, indent=2, allow_nan=False)
    (paths.evaluation / "metrics.json").write_text(text + "\n", encoding="utf-8")
    tags = evaluation(params, origin)
    (paths.evaluation / TAGS).write_text(json.dumps(tags, indent=2) + "\n", encoding="utf-8")
    target, drawings = paths.evaluation / "report.html", about.is_phantoms(prepared)
    report.write(target, paths.evaluation, result, final, parity, phantoms=drawings)
    _record(tracking, paths, result, parity)
    tracking.tags(tags)
    return result


def _draft(params: Params, network: Network, scratch: Path, origin: Origin) -> Bundle:
    """The network as a bundle that is not calibrated yet: the exact graph that the final one holds."""
    export.export(network, params.imaging.size, scratch / "graph")
    facts = about.draft(params, origin)
    return bundles.write(scratch / "draft", graph=scratch / "graph", facts=facts)


def _need_photographs(prepared: PreparedSet) -> None:
    for split in JUDGED:
        if not prepared.rows(split):
            raise ManifestError(f"{prepared.paths.split}: no gradable photograph in {split}, nothing can be judged")


def _calibrate(params: Params, prepared: PreparedSet, scored: scoring.Scored) -> tuple[float, Operating]:
    """Temperature, thresholds and abstention from the validation split."""
    truth = prepared.table["grade"].to_numpy()[scored.rows]
    temperature = calibration.fit_temperature(scored.logits, truth)
    probability = decision.probabilities(scored.logits, temperature)
    target = params.evaluate.target_sensitivity
    cuts = {
        outcome: calibration.threshold(probability[:, first:].sum(axis=1), truth >= first, target)
        for outcome, first in metrics.OUTCOMES.items()
    }
    energies = abstention.energy(scored.logits, temperature)
    shares = params.evaluate.review_share, params.evaluate.unfamiliar_share
    hands_over = abstention.choose(probability, energies, cuts["referable"], *shares)
    return temperature, Operating(params.evaluate.decision, **cuts, abstention=hands_over)


def _parity(
    params: Params,
    prepared: PreparedSet,
    network: Network,
    graph: Path,
    rows: list[int],
    temperature: float,
    operating: Operating,
) -> dict[Precision, Parity]:
    """Each form on the validation split; int8 is calibrated on photographs of the train split."""
    tensors = partial(_tensors, prepared, rows)
    on = forms.Yardstick(tensors, prepared.table["grade"].to_numpy()[rows], temperature, operating)
    seen = quantise.choose(prepared.rows("train"), params.evaluate.quantise_photographs, params.train.seed)
    return forms.measure(network, graph, on, prepared.images(seen) if seen else None)


def _tensors(prepared: PreparedSet, rows: list[int]) -> Iterator[Tensor]:
    for i in range(0, len(rows), _BATCH):
        yield to_tensor(prepared.images(rows[i : i + _BATCH]))


def _record(tracking: Tracking, paths: Paths, result: Evaluation, parity: Mapping[Precision, Parity]) -> None:
    """Figures, pictures and tables into the run; the bundle itself is logged when it is registered."""
    values = {f"test/{name}": value.value for name, value in result.test.intervals.items() if value.n}
    values |= {f"test/{name}_low": value.low for name, value in result.test.intervals.items() if value.n}
    values |= {f"test/{name}_high": value.high for name, value in result.test.intervals.items() if value.n}
    values["calibration/temperature"] = result.temperature
    values |= {f"decided/{name}": one.value for name, one in result.selective["all"].plain().items()}
    values["test/imageability"] = result.imageability["all"].value
    for precision, found in parity.items():
        values |= {f"parity/{precision}/{name}": value for name, value in found.figures().items()}
    tracking.metrics(values)
    tracking.artifact(paths.evaluation, "evaluation")
