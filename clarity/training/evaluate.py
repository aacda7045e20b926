"""Evaluation: export, score, calibrate on validation, judge on test, write the bundle and what a person reads."""

import json
import tempfile
from pathlib import Path

import pandas as pd

from clarity import grades
from clarity.errors import ManifestError
from clarity.inference import bundle as bundles
from clarity.inference import decision, export
from clarity.inference.bundle import Bundle, Facts, Thresholds
from clarity.inference.engine import Engine
from clarity.params import Params
from clarity.training import calibration, fit, metrics, pictures, report, scoring
from clarity.training.datamodule import PreparedSet
from clarity.training.identity import Origin
from clarity.training.judging import Evaluation, judge
from clarity.training.metrics import Figures, Operating
from clarity.training.paths import Paths
from clarity.training.scoring import score_bundle
from clarity.training.tracking import Tracking

__all__ = ["Evaluation", "Origin", "evaluate", "score_bundle"]
PHANTOMS = "phantoms"
JUDGED = ("validation", "test")


def evaluate(params: Params, paths: Paths, tracking: Tracking, origin: Origin) -> Evaluation:
    """Judge artifacts/training/best.ckpt; write artifacts/evaluation/ and artifacts/bundle/.

    Logits come from the exported graph on the engine that will run it, in float32. Temperature and thresholds are
    chosen on validation only. Raises ManifestError where a split has no gradable photograph, WeightsUnavailable,
    InferenceError, BundleError.
    """
    prepared = PreparedSet.open(paths)
    _need_photographs(prepared)
    paths.evaluation.mkdir(parents=True, exist_ok=True)
    paths.bundle.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".evaluate-", dir=paths.artifacts) as scratch:
        draft = _draft(params, paths, Path(scratch), origin)
        engine = Engine.load(draft)
        validation, test = (scoring.run(engine, prepared.rows(side), prepared.images) for side in JUDGED)
        temperature, operating = _calibrate(params, prepared, validation)
        rule = params.evaluate.decision
        frame = pd.concat([scoring.table(prepared, part, temperature, rule) for part in (validation, test)])
        result = judge(params.evaluate, prepared.table, frame, temperature, operating, paths.bundle)
        final = _facts(params, prepared, origin, temperature, operating, result.test)
        bundles.write(paths.bundle, graph=draft.path, facts=final)
        logits = {"validation": validation, "test": test}
        pictures.draw(params.evaluate, paths, prepared, engine, logits, frame, result.operating, temperature)
    frame.to_csv(paths.evaluation / "predictions.csv", index=False, float_format="%.6f")
    text = json.dumps(result.summary() | {"phantoms": is_phantoms(prepared)}, indent=2, allow_nan=False)
    (paths.evaluation / "metrics.json").write_text(text + "\n", encoding="utf-8")
    report.write(paths.evaluation / "report.html", paths.evaluation, result, final, phantoms=is_phantoms(prepared))
    _record(tracking, paths, result)
    return result


def is_phantoms(prepared: PreparedSet) -> bool:
    """Whether any of the photographs is a drawing: then no figure is a clinical one."""
    return bool((prepared.table["source"] == PHANTOMS).any())


def _draft(params: Params, paths: Paths, scratch: Path, origin: Origin) -> Bundle:
    """The network as a bundle that is not calibrated yet: the exact graph that the final one holds."""
    network = fit.load(params, paths.training / f"{fit.BEST}.ckpt")
    export.export(network, params.imaging.size, scratch / "graph")
    facts = _facts(params, None, origin, 1.0, Operating(params.evaluate.decision), None)
    return bundles.write(scratch / "draft", graph=scratch / "graph", facts=facts)


def _need_photographs(prepared: PreparedSet) -> None:
    for split in JUDGED:
        if not prepared.rows(split):
            raise ManifestError(f"{prepared.paths.split}: no gradable photograph in {split}, nothing can be judged")


def _calibrate(params: Params, prepared: PreparedSet, scored: scoring.Scored) -> tuple[float, Operating]:
    """Temperature and thresholds from the validation split."""
    truth = prepared.table["grade"].to_numpy()[scored.rows]
    temperature = calibration.fit_temperature(scored.logits, truth)
    probability = decision.probabilities(scored.logits, temperature)
    target = params.evaluate.target_sensitivity
    cuts = {
        outcome: calibration.threshold(probability[:, first:].sum(axis=1), truth >= first, target)
        for outcome, first in metrics.OUTCOMES.items()
    }
    return temperature, Operating(params.evaluate.decision, **cuts)


def _facts(
    params: Params,
    prepared: PreparedSet | None,
    origin: Origin,
    temperature: float,
    operating: Operating,
    test: Figures | None,
) -> Facts:
    cuts = Thresholds(referable=operating.referable, vision_threatening=operating.vision_threatening)
    defined = {name: value for name, value in test.intervals.items() if value.n} if test else {}
    return Facts(
        name=params.model.name,
        backbone=params.model.backbone,
        imaging=params.imaging,
        quality=params.quality,
        temperature=temperature,
        decision=params.evaluate.decision,
        thresholds=cuts,
        data_version=origin.data_version,
        data_summary=describe(prepared) if prepared else "",
        git_commit=origin.git_commit,
        metrics=defined,
    )


def describe(prepared: PreparedSet) -> str:
    """What it was trained on, for people."""
    trained = prepared.table.iloc[prepared.rows("train")]
    grade_counts = "/".join(str(int((trained["grade"] == k).sum())) for k in grades.GRADES)
    sources = ", ".join(sorted(set(trained["source"])))
    counted = f"{trained['patient'].nunique()} patients, grades 0 to 4: {grade_counts}"
    if is_phantoms(prepared):
        return f"{len(trained)} phantoms, drawings and not photographs of eyes ({counted}). No figure here is clinical."
    return f"{len(trained)} photographs of {sources} ({counted})."


def _record(tracking: Tracking, paths: Paths, result: Evaluation) -> None:
    """Figures, pictures and tables into the run; the bundle itself is logged when it is registered."""
    values = {f"test/{name}": value.value for name, value in result.test.intervals.items() if value.n}
    values |= {f"test/{name}_low": value.low for name, value in result.test.intervals.items() if value.n}
    values |= {f"test/{name}_high": value.high for name, value in result.test.intervals.items() if value.n}
    values["calibration/temperature"] = result.temperature
    values["test/imageability"] = result.imageability["all"].value
    tracking.metrics(values)
    tracking.artifact(paths.evaluation, "evaluation")
