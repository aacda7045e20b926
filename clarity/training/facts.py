"""What a bundle says of its training: the data in a sentence, the operating points, the figures of the test split."""

import pandas as pd

from clarity import grades
from clarity.inference import shares
from clarity.inference.drift import Reference
from clarity.inference.spec import Facts, Thresholds
from clarity.params import EvaluateParams, Params
from clarity.registry import agreement
from clarity.training.datamodule import PreparedSet
from clarity.training.identity import Origin
from clarity.training.judging import Evaluation
from clarity.training.metrics import Operating

PHANTOMS = "phantoms"


def is_phantoms(prepared: PreparedSet) -> bool:
    """Whether any of the photographs is a drawing: then no figure is a clinical one."""
    return bool((prepared.table["source"] == PHANTOMS).any())


def draft(params: Params, origin: Origin) -> Facts:
    """Of a network that is not calibrated yet."""
    return _facts(params, origin, 1.0, Operating(params.evaluate.decision))


def final(params: Params, prepared: PreparedSet, origin: Origin, result: Evaluation, reference: Reference) -> Facts:
    """Of a network that was judged; figures that are not defined are left out."""
    return _facts(params, origin, result.temperature, result.operating).model_copy(
        update={
            "data_summary": describe(prepared),
            "metrics": {name: value for name, value in result.test.intervals.items() if value.n},
            "abstention": result.operating.abstention,
            "reference": reference,
            "selective": result.selective["all"].plain(),
        }
    )


def reference(params: EvaluateParams, prepared: PreparedSet, frame: pd.DataFrame) -> Reference:
    """The validation split as nights are compared with it; ``frame``: its predictions, and those of other splits.

    Photographs that could not be prepared have no quality. No data set that Clarity reads names its cameras.
    """
    seen = prepared.table[(prepared.table["split"] == "validation") & (prepared.table["fingerprint"] != "")]
    scored = frame[frame["split"] == "validation"]
    score = agreement.probabilities(scored)[:, grades.REFERABLE_FROM :].sum(axis=1)
    patients = int(seen["patient"].nunique())
    return Reference(
        quality=shares.binned(seen["score"].to_numpy(dtype=float), patients),
        score=shares.binned(score, int(scored["patient"].nunique())),
        cameras=shares.mix([None] * len(seen), patients),
        false_alarms=params.drift_false_alarms,
    )


def _facts(params: Params, origin: Origin, temperature: float, operating: Operating) -> Facts:
    return Facts(
        name=params.model.name,
        backbone=params.model.backbone,
        imaging=params.imaging,
        quality=params.quality,
        temperature=temperature,
        decision=params.evaluate.decision,
        thresholds=Thresholds(referable=operating.referable, vision_threatening=operating.vision_threatening),
        data_version=origin.data_version,
        data_summary="",
        git_commit=origin.git_commit,
        metrics={},
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
