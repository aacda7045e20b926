"""Figures and their intervals, against scikit-learn and against arithmetic on paper."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from clarity.training import metrics
from clarity.training.metrics import Operating

GRADES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=60)


def table(grades: list[int], probabilities: np.ndarray, patients: list[str] | None = None) -> pd.DataFrame:
    frame = pd.DataFrame(probabilities, columns=[f"p{k}" for k in range(5)])
    frame["grade"] = grades
    frame["patient"] = patients or [f"p{i}" for i in range(len(grades))]
    return frame


def certain(grades: list[int]) -> np.ndarray:
    return np.eye(5)[grades]


@given(GRADES)
def test_kappa_is_the_one_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    truth, guess = (np.array(side) for side in zip(*pairs, strict=True))
    if len(set(truth) | set(guess)) == 1:
        assert metrics.qwk(truth, guess) == 0.0
        return
    expected = cohen_kappa_score(truth, guess, weights="quadratic", labels=range(5))
    assert metrics.qwk(truth, guess) == pytest.approx(expected, abs=1e-12)


def test_kappa_over_the_whole_set_is_not_the_mean_of_the_batches() -> None:
    truth, guess = np.array([0, 0, 0, 4, 4, 4]), np.array([0, 0, 1, 4, 4, 3])
    batches = np.mean([metrics.qwk(truth[:3], guess[:3]), metrics.qwk(truth[3:], guess[3:])])
    assert metrics.qwk(truth, guess) > 0.9 > batches


def test_wilson_gives_the_published_interval() -> None:
    low, high = metrics.wilson(9, 10)
    assert (low, high) == (pytest.approx(0.5958, abs=1e-3), pytest.approx(0.9821, abs=1e-3))
    assert metrics.wilson(0, 10)[0] == 0.0
    assert metrics.wilson(10, 10)[1] == 1.0
    assert all(math.isnan(end) for end in metrics.wilson(0, 0))


def test_auroc_and_the_operating_figures_are_those_of_the_table() -> None:
    rng = np.random.default_rng(1)
    grades = rng.integers(0, 5, 80).tolist()
    probability = rng.dirichlet(np.ones(5), 80)
    found = metrics.figures(table(grades, probability), Operating("expected", 0.6, 0.5), bootstrap=50, bins=5)
    positive = np.array(grades) >= 2
    tail = probability[:, 2:].sum(axis=1)
    assert found.intervals["auroc_referable"].value == pytest.approx(roc_auc_score(positive, tail))
    mean = probability @ np.arange(5)
    called = (tail >= 0.6) | (np.floor(mean + 0.5) >= 2)
    assert found.intervals["sensitivity_referable"].value == pytest.approx(called[positive].mean())
    assert found.intervals["specificity_referable"].value == pytest.approx((~called)[~positive].mean())
    assert found.intervals["sensitivity_referable"].n == int(positive.sum())
    for name, interval in found.intervals.items():
        assert interval.low <= interval.high, name


def test_a_patient_with_two_eyes_that_agree_widens_the_interval() -> None:
    rng = np.random.default_rng(3)
    grades = rng.integers(0, 5, 40)
    guess = np.where(rng.random(40) < 0.6, grades, rng.integers(0, 5, 40))
    twice, again = np.repeat(grades, 2).tolist(), np.repeat(guess, 2).tolist()
    operating = Operating("argmax")
    pairs = [f"p{i // 2}" for i in range(80)]
    by_patient = metrics.figures(table(twice, certain(again), pairs), operating, bootstrap=400, bins=5)
    by_image = metrics.figures(table(twice, certain(again)), operating, bootstrap=400, bins=5)
    wide, narrow = by_patient.intervals["qwk"], by_image.intervals["qwk"]
    assert wide.value == narrow.value
    assert (wide.high - wide.low) > 1.2 * (narrow.high - narrow.low)
    assert by_patient.wilson["accuracy"] == by_image.wilson["accuracy"]


def test_a_perfect_table_has_no_calibration_error_and_full_marks() -> None:
    grades = [0, 1, 2, 3, 4] * 4
    found = metrics.figures(table(grades, certain(grades)), Operating("expected"), bootstrap=30, bins=10).intervals
    assert found["ece"].value == 0.0
    assert {found[name].value for name in ("qwk", "accuracy", "auroc_referable", "specificity_referable")} == {1.0}


def test_what_a_set_does_not_define_is_nan_with_nothing_behind_it() -> None:
    grades = [0, 0, 1, 1]
    found = metrics.figures(table(grades, certain(grades)), Operating("expected"), bootstrap=30, bins=10).intervals
    for name in ("auroc_referable", "sensitivity_referable", "sensitivity_vision_threatening"):
        assert math.isnan(found[name].value), name
        assert found[name].n == 0
    assert found["specificity_referable"].value == 1.0


def test_the_same_table_gives_the_same_intervals() -> None:
    rng = np.random.default_rng(5)
    frame = table(rng.integers(0, 5, 30).tolist(), rng.dirichlet(np.ones(5), 30))
    one, two = (metrics.figures(frame, Operating("expected"), bootstrap=40, bins=5) for _ in range(2))
    assert one == two
