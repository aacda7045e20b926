"""Logits to grades and outcomes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clarity import grades
from clarity.inference import decision

logits = arrays(np.float32, (4, 5), elements=st.floats(-50, 50, width=32))


@given(logits, st.floats(0.1, 10))
def test_probabilities_are_a_distribution_in_the_order_of_the_logits(values: np.ndarray, temperature: float) -> None:
    p = decision.probabilities(values, temperature)
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-9)
    assert (p >= 0).all()
    best = np.take_along_axis(p, values.argmax(axis=1)[:, None], axis=1)[:, 0]
    np.testing.assert_allclose(best, p.max(axis=1))


def test_a_higher_temperature_makes_the_network_less_sure() -> None:
    values = np.array([[0.0, 1, 3, 0, 0]], np.float32)
    assert decision.probabilities(values, 2.0).max() < decision.probabilities(values, 1.0).max()


@pytest.mark.parametrize(
    ("probability", "expected", "argmax"),
    [
        ([1, 0, 0, 0, 0], 0, 0),
        ([0.5, 0.5, 0, 0, 0], 1, 1),  # a mean of exactly one half rounds to the worse grade, of equals the worse one
        ([0.6, 0, 0, 0, 0.4], 2, 0),  # the likeliest grade and the mean grade may differ
        ([0, 0, 0, 0, 1], 4, 4),
    ],
)
def test_both_decisions_on_probabilities_where_they_are_known(
    probability: list[float], expected: int, argmax: int
) -> None:
    p = np.array([probability])
    assert decision.grade(p, "expected").tolist() == [expected]
    assert decision.grade(p, "argmax").tolist() == [argmax]


def test_an_outcome_is_called_from_its_threshold_and_never_against_the_grade() -> None:
    p = np.array([[0.55, 0.05, 0.4, 0, 0], [0.1, 0.52, 0.38, 0, 0], [0.45, 0.2, 0.05, 0.15, 0.15]])
    graded = decision.grade(p, "expected")
    assert graded.tolist() == [1, 1, 1]
    assert decision.positive(p, 0.39, graded, grades.REFERABLE_FROM).tolist() == [True, False, False]
    contradicting = np.array([2, 1, 1])
    assert decision.positive(p, 0.9, contradicting, grades.REFERABLE_FROM).tolist() == [True, False, False]


@given(logits)
def test_a_prediction_agrees_with_itself(values: np.ndarray) -> None:
    for one in decision.predict(
        values,
        temperature=1.3,
        decision="expected",
        referable_threshold=0.5,
        vision_threatening_threshold=0.5,
        abstention=None,
        precision="bf16",
        model_version="7",
        fingerprint="f" * 16,
    ):
        assert one.name == grades.name(one.grade)
        assert one.confidence == one.probabilities[one.grade]
        assert one.referable or not grades.is_referable(one.grade)
        assert one.vision_threatening or not grades.is_vision_threatening(one.grade)
        assert one.referable_probability >= one.vision_threatening_probability
