"""Does a form of the network still say what the trained network said? Pure arithmetic; ``training.forms`` runs it.

A form is the network at one precision (fp32, bf16, int8). It is compared with torch in float32 on the validation split,
and a bundle may offer it only where it passes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from clarity.inference.processor import Precision
from clarity.inference.scores import Scores

RELATIVE = 1e-4
"""fp32: the largest deviation of a logit or a map's cell, over the photograph's largest."""
GRADES_EQUAL = 0.99
QWK_DROP = 0.005
SENSITIVITY_DROP = 0.005
SPEARMAN_MEDIAN, SPEARMAN_P5 = 0.98, 0.95


class Parity(BaseModel):
    """A form against torch float32 on ``n`` photographs of the validation split. Figures are None where n is 0."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    n: int
    passed: bool
    reasons: tuple[str, ...] = ()
    """Why it did not pass, a sentence each."""
    worst_relative: float | None = None
    grades_equal: float | None = None
    """Share of the photographs."""
    qwk_drop: float | None = None
    """Torch's quadratic weighted kappa minus the form's: above 0 the form is worse."""
    sensitivity_drop: float | None = None
    """Of referable disease at the operating point, as a share; 0 where no photograph is referable."""
    spearman_median: float | None = None
    spearman_p5: float | None = None
    """5th percentile over the photographs: rank correlation of the two heatmaps of torch's grade."""

    @classmethod
    def same(cls, n: int) -> "Parity":
        """Of a form that says of ``n`` photographs exactly what the trained network says."""
        return cls(
            n=n,
            passed=True,
            worst_relative=0,
            grades_equal=1,
            qwk_drop=0,
            sensitivity_drop=0,
            spearman_median=1,
            spearman_p5=1,
        )

    @classmethod
    def unmeasured(cls, why: str) -> "Parity":
        """Of a form that was not run."""
        return cls(n=0, passed=False, reasons=(why,))

    def proves(self, precision: Precision) -> bool:
        """Whether the figures themselves, of at least one photograph, keep the limits of that precision today."""
        return self.passed and self.n > 0 and not _reasons(precision, self.figures())

    def figures(self) -> dict[str, float]:
        """The measured numbers by name, for a run's record."""
        plain = self.model_dump(exclude={"n", "passed", "reasons"})
        return {name: float(value) for name, value in plain.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Answers:
    """One side of the comparison: scores of N photographs, the grades that they give, and how good these are."""

    scores: Scores
    grades: NDArray[np.int64]
    qwk: float
    sensitivity: float
    """NaN where no photograph is referable."""


def compare(precision: Precision, reference: Answers, form: Answers) -> Parity:
    """``reference`` is torch in float32, ``form`` the same photographs in the same order, N >= 1; both are finite."""
    drawn = zip(reference.scores.maps, form.scores.maps, reference.grades, strict=True)
    ranks = [spearman(np.maximum(ours[k], 0), np.maximum(theirs[k], 0)) for ours, theirs, k in drawn]
    figures = {
        "worst_relative": worst_relative(reference.scores, form.scores),
        "grades_equal": float((reference.grades == form.grades).mean()),
        "qwk_drop": reference.qwk - form.qwk,
        "sensitivity_drop": 0.0 if np.isnan(reference.sensitivity) else reference.sensitivity - form.sensitivity,
        "spearman_median": float(np.median(ranks)),
        "spearman_p5": float(np.percentile(ranks, 5)),
    }
    reasons = _reasons(precision, figures)
    return Parity(n=len(ranks), passed=not reasons, reasons=reasons, **figures)


def refusal(forms: Mapping[Precision, str], parities: Mapping[Precision, Parity]) -> str | None:
    """Why a bundle of these forms may not be registered, a sentence; None where it may."""
    unproven = [name for name in ("fp32", *forms) if name not in parities or not parities[name].proves(name)]
    if "fp32" not in forms or "fp32" in unproven:
        return "no fp32 form whose parity with the trained network was measured and passed"
    return f"form {unproven[0]}: its parity with the trained network was not passed" if unproven else None


def spearman(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Rank correlation of two maps (h, w), ties with their mean rank (Spearman 1904).

    A constant map has no order: two constant maps agree (1), a constant one and another do not (0).
    """
    x, y = _ranks(a), _ranks(b)
    x, y = x - x.mean(), y - y.mean()
    spread = float(np.sqrt((x @ x) * (y @ y)))
    if spread == 0:
        return float(not x.any() and not y.any())
    return float(x @ y / spread)


def worst_relative(reference: Scores, form: Scores) -> float:
    """The largest deviation of any logit or cell, over the largest magnitude of that photograph's logits or maps."""
    worst = 0.0
    for wanted, found in ((reference.logits, form.logits), (reference.maps, form.maps)):
        axes = tuple(range(1, wanted.ndim))
        scale = np.maximum(np.abs(wanted).max(axis=axes), np.finfo(np.float32).tiny)
        worst = float(np.maximum(worst, (np.abs(found - wanted).max(axis=axes) / scale).max()))  # NaN stays NaN
    return worst


def _ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    _, which, counts = np.unique(values.ravel(), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: NDArray[np.float64] = (last - (counts - 1) / 2)[which]
    return ranks


def _reasons(precision: Precision, found: Mapping[str, float]) -> tuple[str, ...]:
    if precision == "fp32":
        checks = [("largest relative deviation", found.get("worst_relative"), RELATIVE, True)]
    else:
        checks = [
            ("share of equal grades", found.get("grades_equal"), GRADES_EQUAL, False),
            ("drop of the QWK", found.get("qwk_drop"), QWK_DROP, True),
            ("drop of the referable sensitivity", found.get("sensitivity_drop"), SENSITIVITY_DROP, True),
            ("heatmaps' Spearman correlation, median", found.get("spearman_median"), SPEARMAN_MEDIAN, False),
            ("heatmaps' Spearman correlation, 5th percentile", found.get("spearman_p5"), SPEARMAN_P5, False),
        ]
    # A limit itself passes, whatever the last digit of a difference of two shares.
    return tuple(
        f"{name} {'not measured' if value is None else f'{value:.4g}'}, {'at most' if most else 'at least'} {limit:g}"
        for name, value, limit, most in checks
        if value is None or not (value <= limit + 1e-12 if most else value >= limit - 1e-12)
    )
