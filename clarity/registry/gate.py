"""May this challenger replace this champion? Predictions in, a verdict with its reasons out, nothing else touched."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clarity import grades
from clarity.inference import decision as deciding
from clarity.params import GateParams
from clarity.records import Verdict
from clarity.registry import agreement
from clarity.registry.agreement import Floats

SEED = 20260101
"""Of the bootstrap: the same two models get the same verdict on every machine."""
_COLUMNS = ("sha256", "patient", "grade", *agreement.PROBABILITIES)


@dataclass(frozen=True, slots=True)
class Rule:
    """How a model's probabilities become answers, as its bundle says."""

    decision: deciding.Decision = "expected"
    referable_threshold: float = 0.5
    """A photograph is called referable from this P(grade >= 2) on, or by its own grade."""


@dataclass(frozen=True, slots=True)
class _Check:
    passed: bool
    sentence: str


def judge(
    challenger: pd.DataFrame,
    champion: pd.DataFrame | None,
    params: GateParams,
    *,
    rule: Rule | None = None,
    champion_rule: Rule | None = None,
) -> Verdict:
    """Judge a challenger by its predictions on the frozen test split, beside the champion's on the same photographs.

    A frame has a row a photograph with sha256, patient, grade (reference), p0 to p4; rows of another ``split`` than
    "test" are left out. ``champion=None``: there is none yet, only the floors decide. Every check gives a sentence
    with its figures, passed or failed, and ``params.note`` closes them. Never raises for what a model predicts: a
    challenger that cannot be judged is refused.
    """
    rule, champion_rule = rule or Rule(), champion_rule or Rule()
    ours = _test_rows(challenger)
    faults = _faults(ours, "challenger")
    theirs = None if champion is None else _test_rows(champion)
    if theirs is not None and not faults:
        faults = _faults(theirs, "champion") or _different(ours, theirs)
    if faults:
        return _verdict([_Check(passed=False, sentence=fault) for fault in faults], {}, params)
    tables = agreement.patient_tables(ours["patient"], ours["grade"], _grades(ours, rule))
    counts = agreement.resamples(len(tables), params.bootstrap, np.random.default_rng(SEED))
    drawn = agreement.qwk(tables, counts)
    figures = _figures(ours, rule) | {"qwk": float(agreement.qwk(tables)[0]), "patients": float(len(tables))}
    figures["qwk_low"], figures["qwk_high"] = agreement.interval(drawn)
    checks = _floors(figures, params)
    if theirs is None:
        checks.append(_Check(passed=True, sentence="no champion yet: judged by the floors alone"))
    else:
        others = agreement.patient_tables(theirs["patient"], theirs["grade"], _grades(theirs, champion_rule))
        figures |= _comparison(figures["qwk"], drawn, agreement.qwk(others), agreement.qwk(others, counts))
        checks.append(_drop(figures, params))
    return _verdict(checks, figures, params)


def _grades(frame: pd.DataFrame, rule: Rule) -> NDArray[np.int64]:
    return deciding.grade(agreement.probabilities(frame), rule.decision)


def _test_rows(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["split"] == "test"] if "split" in frame.columns else frame


def _faults(frame: pd.DataFrame, whose: str) -> list[str]:
    """Why these predictions cannot be judged at all, a sentence each."""
    missing = [name for name in _COLUMNS if name not in frame.columns]
    if missing:
        return [f"the {whose}'s predictions lack the columns {', '.join(missing)}: cannot be judged"]
    if frame.empty:
        return [f"the {whose} has no predictions on the test split: cannot be judged"]
    faults = []
    if doubled := int(frame["sha256"].duplicated().sum()):
        faults.append(f"{_photographs(doubled)} twice in the {whose}'s predictions: cannot be judged")
    if unknown := int((~frame["grade"].isin(grades.GRADES)).sum()):
        faults.append(f"{_photographs(unknown)} of the {whose}'s predictions without a reference grade of 0 to 4")
    values = agreement.probabilities(frame)
    sums_to_one = np.isfinite(values).all(axis=1) & (values >= 0).all(axis=1) & (abs(values.sum(axis=1) - 1) < 1e-3)
    if bad := int((~sums_to_one).sum()):
        faults.append(f"{_photographs(bad)} with {whose}'s predictions that are not probabilities: cannot be judged")
    return faults


def _different(ours: pd.DataFrame, theirs: pd.DataFrame) -> list[str]:
    """The frozen test split must be the same: the same photographs, with the same reference grades."""
    mine, other = set(ours["sha256"]), set(theirs["sha256"])
    if mine != other:
        return [
            f"the test splits differ: {len(mine - other)} photographs only the challenger's, {len(other - mine)} only "
            f"the champion's, {len(mine & other)} in both; a comparison would not be fair"
        ]
    both = ours.merge(theirs, on="sha256", suffixes=("", "_champion"))
    for column, said in (("grade", "reference grade"), ("patient", "patient")):
        if changed := int((both[column] != both[f"{column}_champion"]).sum()):
            return [f"{_photographs(changed)} of the test split with another {said} for the champion: not fair"]
    return []


def _figures(frame: pd.DataFrame, rule: Rule) -> dict[str, float]:
    referable = (frame["grade"] >= grades.REFERABLE_FROM).to_numpy(dtype=np.bool_)
    probability = agreement.probabilities(frame)
    graded = deciding.grade(probability, rule.decision)
    called = deciding.positive(probability, rule.referable_threshold, graded, grades.REFERABLE_FROM)
    return {
        "photographs": float(len(frame)),
        "referable_photographs": float(referable.sum()),
        "referable_threshold": rule.referable_threshold,
        "auroc_referable": agreement.auroc(referable, probability[:, grades.REFERABLE_FROM :].sum(axis=1)),
        "sensitivity": agreement.share(called, referable),
        "specificity": agreement.share(~called, ~referable),
    }


def _comparison(qwk: float, drawn: Floats, other: Floats, other_drawn: Floats) -> dict[str, float]:
    """The paired bootstrap: both models on the same resamples of the same patients."""
    low, high = agreement.interval(drawn - other_drawn)
    difference = {"difference": qwk - float(other[0]), "difference_low": low, "difference_high": high}
    return {"champion_qwk": float(other[0])} | difference


def _floors(figures: dict[str, float], params: GateParams) -> list[_Check]:
    low, high = figures["qwk_low"], figures["qwk_high"]
    found = f"{figures['qwk']:.3f} (95 % interval {low:.3f} to {high:.3f}, {figures['patients']:.0f} patients)"
    checks = [_floor(f"QWK {found}", figures["qwk"], params.min_qwk)]
    if params.above_chance:
        sentence = f"lower end of the QWK interval {low:.3f}, better than chance needs above 0"
        checks.append(_Check(passed=low > 0, sentence=sentence))
    for name, key, floor in (
        ("referable AUROC", "auroc_referable", params.min_auroc_referable),
        ("referable sensitivity", "sensitivity", params.min_sensitivity),
        ("referable specificity", "specificity", params.min_specificity),
    ):
        positives = f"{figures['referable_photographs']:.0f} of {figures['photographs']:.0f} photographs referable"
        found = "not defined" if math.isnan(figures[key]) else f"{figures[key]:.3f}"
        checks.append(_floor(f"{name} {found} ({positives})", figures[key], floor))
    return checks


def _floor(subject: str, value: float, floor: float) -> _Check:
    """A value that is not defined never passes."""
    return _Check(passed=value >= floor, sentence=f"{subject}, floor {floor:.3f}")


def _drop(figures: dict[str, float], params: GateParams) -> _Check:
    low, high = figures["difference_low"], figures["difference_high"]
    sentence = (
        f"QWK {figures['qwk']:.3f} against the champion's {figures['champion_qwk']:.3f} on the same "
        f"{figures['photographs']:.0f} photographs: difference {figures['difference']:+.3f} (95 % interval "
        f"{low:+.3f} to {high:+.3f}, paired over patients), may not reach below {-params.max_qwk_drop:+.3f}"
    )
    # the tolerance is for identical models: a difference of exactly 0 must pass a permitted drop of 0
    return _Check(passed=low >= -params.max_qwk_drop - 1e-12, sentence=sentence)


def _photographs(count: int) -> str:
    return f"{count} photograph{'' if count == 1 else 's'}"


def _verdict(checks: Iterable[_Check], figures: dict[str, float], params: GateParams) -> Verdict:
    checks = list(checks)
    reasons = [f"{'passed' if check.passed else 'failed'}: {check.sentence}" for check in checks]
    if params.note:
        reasons.append(f"note: {params.note}")
    return Verdict(accepted=all(check.passed for check in checks), reasons=tuple(reasons), figures=figures)
