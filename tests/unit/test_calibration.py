"""Temperature, thresholds and the reliability table."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clarity.inference import decision
from clarity.training import calibration


def drawn(temperature: float, n: int = 6000) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose true probabilities are softmax(logits / temperature)."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (n, 5))
    p = decision.probabilities(logits, temperature)
    return logits, (p.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_fitted_temperature_is_the_one_the_grades_were_drawn_with(temperature: float) -> None:
    logits, truth = drawn(temperature)
    assert calibration.fit_temperature(logits, truth) == pytest.approx(temperature, rel=0.08)


def test_calibration_lowers_the_expected_error() -> None:
    logits, truth = drawn(3.0)
    fitted = calibration.fit_temperature(logits, truth)
    before, after = (
        calibration.expected_error(calibration.reliability(decision.probabilities(logits, t), truth, 10))
        for t in (1.0, fitted)
    )
    assert after < 0.03 < before


def test_nothing_to_fit_on_leaves_the_logits_alone() -> None:
    assert calibration.fit_temperature(np.zeros((0, 5)), np.zeros(0, dtype=int)) == 1.0
    assert calibration.threshold(np.array([0.2, 0.3]), np.array([False, False]), 0.9) == 0.5


@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50),
    st.sampled_from([0.5, 0.8, 0.9, 1.0]),
)
@example([(0.0, False), (5e-324, True)], 0.5)
def test_the_threshold_reaches_the_target_and_the_next_higher_score_would_not(
    rows: list[tuple[float, bool]], target: float
) -> None:
    scores, positive = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    if not positive.any():
        return
    cut = calibration.threshold(scores, positive, target)
    assert (scores[positive] >= cut).mean() >= target - 1e-9
    edge = scores[scores >= cut].min()
    higher = scores[scores > edge]
    if len(higher):
        assert (scores[positive] >= higher.min()).mean() < target


def test_the_bins_hold_every_photograph_once() -> None:
    rng = np.random.default_rng(2)
    p = rng.dirichlet(np.ones(5), 200)
    bins = calibration.reliability(p, rng.integers(0, 5, 200), 10)
    assert sum(b.n for b in bins) == 200
    assert all(b.low - 1e-9 <= b.confidence <= b.high + 1e-9 for b in bins)


def test_certainty_falls_into_the_last_bin() -> None:
    (only,) = calibration.reliability(np.eye(5)[[1, 2]], np.array([1, 2]), 10)
    assert (only.low, only.high, only.accuracy) == (0.9, 1.0, 1.0)
