"""The model hands over what lies near its threshold and what it does not know, and says why."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clarity.inference import abstention, decision
from clarity.inference.abstention import NEVER, Abstention

LOGITS = arrays(np.float64, (6, 5), elements=st.floats(-60, 60))


def of(referable: float) -> list[float]:
    """Five probabilities whose grades 2 to 4 sum to ``referable``."""
    return [1 - referable, 0.0, referable, 0.0, 0.0]


def predict(logits: np.ndarray, rule: Abstention | None) -> list[tuple[str, ...]]:
    found = decision.predict(
        logits,
        temperature=1.0,
        decision="expected",
        referable_threshold=0.4,
        vision_threatening_threshold=0.5,
        abstention=rule,
        model_version="7",
        fingerprint="f" * 16,
        precision="fp32",
    )
    return [one.review_reasons for one in found]


@given(LOGITS, st.floats(0.2, 5))
def test_the_energy_is_that_of_the_paper(logits: np.ndarray, temperature: float) -> None:
    by_hand = [-temperature * math.log(sum(math.exp(value / temperature - 60) for value in row)) for row in logits]
    expected = np.array(by_hand) - 60 * temperature
    np.testing.assert_allclose(abstention.energy(logits, temperature), expected, rtol=1e-9, atol=1e-6)


def test_what_excites_no_grade_has_a_higher_energy() -> None:
    calm, excited = abstention.energy(np.array([[0.0, 0, 0, 0, 0], [0, 9, 0, 0, 0]]), 1.0)
    assert calm > excited


def test_the_chosen_limits_hand_over_the_shares_that_were_asked_for() -> None:
    rng = np.random.default_rng(0)
    probability, energies = rng.dirichlet(np.ones(5), 400), rng.normal(size=400)
    rule = abstention.choose(probability, energies, 0.4, 0.05, 0.01)
    near = abstention.near_threshold(probability, 0.4, rule)
    assert near.sum() == 20
    distance = np.abs(probability[:, 2:].sum(axis=1) - 0.4)
    assert distance[near].max() < distance[~near].min()
    strange = abstention.unfamiliar(energies, rule)
    assert strange.sum() == 4 and energies[strange].min() > energies[~strange].max()


def test_of_few_photographs_one_still_says_where_the_limits_are() -> None:
    probability, energies = np.array([of(0.1), of(0.45), of(0.9)]), np.array([1.0, 2.0, 3.0])
    rule = abstention.choose(probability, energies, 0.4, 0.05, 0.01)
    assert abstention.near_threshold(probability, 0.4, rule).tolist() == [False, True, False]
    assert abstention.unfamiliar(energies, rule).tolist() == [False, False, True]
    assert abstention.choose(probability[:1], energies[:1], 0.4, 0.05, 0.01).margin > 0.3


@pytest.mark.parametrize("both", [(0.3, 0.5), (1 - 3e-9, 1 - 1e-9)])
def test_two_photographs_between_which_the_threshold_lies_midway_are_handed_over_together(
    both: tuple[float, float],
) -> None:
    probability, energies = np.array([of(0.05), *map(of, both), of(0.8)]), np.array([1.0, 2.0, 2.0, 0.0])
    threshold = sum(both) / 2
    rule = abstention.choose(probability, energies, threshold, 0.05, 0.05)
    assert abstention.near_threshold(probability, threshold, rule).tolist() == [False, True, True, False]
    assert abstention.unfamiliar(energies, rule).tolist() == [False, True, True, False]


def test_a_share_of_nothing_hands_over_nobody() -> None:
    probability, energies = np.array([of(0.4), of(0.41)]), np.array([1.0, 1e9])
    assert abstention.choose(probability, energies, 0.4, 0.0, 0.0) == NEVER
    assert abstention.choose(np.zeros((0, 5)), np.zeros(0), 0.4, 0.05, 0.01) == NEVER
    assert not abstention.near_threshold(probability, 0.4, NEVER).any()
    assert not abstention.unfamiliar(energies, NEVER).any()


def test_reasons_are_sentences_with_their_numbers() -> None:
    rule = Abstention(margin=0.03, energy=2.1)
    probability, energies = np.array([of(0.412), of(0.9), of(0.39), of(0.1)]), np.array([0.0, 3.2, 3.2, 0.0])
    near = "referable probability 0.412, within 0.03 of the operating threshold 0.400"
    strange = "unlike the training photographs (energy 3.2, above 2.1)"
    assert abstention.reasons(probability, energies, 0.4, rule)[:2] == [(near,), (strange,)]
    assert abstention.reasons(probability, energies, 0.4, rule)[2] == (near.replace("0.412", "0.390"), strange)
    assert abstention.reasons(probability, energies, 0.4, rule)[3] == ()


@pytest.mark.parametrize("rule", [None, NEVER])
def test_a_draft_decides_on_everything(rule: Abstention | None) -> None:
    assert predict(np.random.default_rng(0).normal(size=(50, 5)), rule) == [()] * 50


def test_the_grade_stays_when_the_model_abstains() -> None:
    logits = np.random.default_rng(0).normal(size=(50, 5))
    common = {
        "temperature": 1.0,
        "decision": "expected",
        "referable_threshold": 0.4,
        "vision_threatening_threshold": 0.5,
        "model_version": "7",
        "fingerprint": "f",
        "precision": "int8",
    }
    sure = decision.predict(logits, abstention=None, **common)  # type: ignore[arg-type]
    unsure = decision.predict(logits, abstention=Abstention(0.5, -99.0), **common)  # type: ignore[arg-type]
    for one, other in zip(sure, unsure, strict=True):
        assert len(other.review_reasons) >= 1 and not one.review_reasons
        assert (one.grade, one.probabilities, one.referable) == (other.grade, other.probabilities, other.referable)
        assert other.precision == "int8" and other.energy == pytest.approx(one.energy)
