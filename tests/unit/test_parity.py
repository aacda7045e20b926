"""A form of the network passes only where it says what the trained network said."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from clarity.inference import parity
from clarity.inference.parity import Answers, Parity
from clarity.inference.scores import Scores
from tests import tiny

RANDOM = np.random.default_rng(0)


def answers(count: int = 200, *, wrong: int = 0, shift: float = 0.0, qwk: float = 0.8, found: float = 0.9) -> Answers:
    """``wrong`` grades differ from those of the others, and maps are blurred by ``shift``."""
    random = np.random.default_rng(1)
    logits, maps = random.normal(size=(count, 5)), random.normal(size=(count, 5, 7, 7))
    grades = logits.argmax(axis=1)
    grades[:wrong] = (grades[:wrong] + 1) % 5
    maps += shift * np.random.default_rng(2).normal(size=maps.shape)
    return Answers(Scores(logits.astype(np.float32), maps.astype(np.float32)), grades, qwk, found)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_a_form_that_says_the_same_passes(precision: str) -> None:
    found = parity.compare(precision, answers(), answers())  # type: ignore[arg-type]
    assert found.passed and not found.reasons
    assert (found.n, found.grades_equal, found.spearman_p5, found.worst_relative) == (200, 1, 1, 0)


def test_one_grade_of_a_hundred_may_differ_and_not_two() -> None:
    assert parity.compare("int8", answers(), answers(wrong=2)).passed
    found = parity.compare("int8", answers(), answers(wrong=3))
    assert not found.passed
    assert found.reasons == ("share of equal grades 0.985, at least 0.99",)


def test_on_ten_photographs_every_grade_must_be_equal() -> None:
    assert not parity.compare("bf16", answers(10), answers(10, wrong=1)).passed


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"qwk": 0.794}, "drop of the QWK 0.006, at most 0.005"),
        ({"found": 0.894}, "drop of the referable sensitivity 0.006, at most 0.005"),
        ({"shift": 0.5}, "Spearman correlation, median"),
    ],
)
def test_what_is_worse_than_permitted_is_named(form: dict[str, float], said: str) -> None:
    found = parity.compare("int8", answers(), answers(**form))  # type: ignore[arg-type]
    assert not found.passed
    assert any(said in reason for reason in found.reasons)


def test_a_drop_of_exactly_the_limit_passes_and_a_better_form_too() -> None:
    assert parity.compare("int8", answers(), answers(qwk=0.795, found=0.895)).passed
    assert parity.compare("int8", answers(), answers(qwk=0.9, found=1.0)).passed


def test_fp32_is_held_to_the_last_digits() -> None:
    assert not parity.compare("fp32", answers(), answers(shift=1e-3)).passed
    assert parity.compare("bf16", answers(), answers(shift=1e-3)).passed


def test_without_a_referable_photograph_no_sensitivity_is_lost() -> None:
    nan = float("nan")
    assert parity.compare("int8", answers(found=nan), answers(found=nan)).sensitivity_drop == 0


def test_spearman_is_scipys_also_with_the_many_ties_of_a_cut_off_map() -> None:
    for _ in range(20):
        a, b = (np.maximum(RANDOM.normal(size=(7, 7)).round(1), 0) for _ in range(2))
        assert parity.spearman(a, b) == pytest.approx(spearmanr(a.ravel(), b.ravel()).statistic)


def test_constant_maps_agree_with_each_other_and_with_nothing_else() -> None:
    flat, other = np.zeros((7, 7)), RANDOM.normal(size=(7, 7))
    assert parity.spearman(flat, flat) == 1
    assert parity.spearman(flat, other) == parity.spearman(other, flat) == 0


def test_the_deviation_is_relative_to_the_photographs_own_largest_value() -> None:
    logits, maps = np.array([[1.0, 100, 0, 0, 0], [1, 2, 0, 0, 0]]), np.ones((2, 5, 2, 2))
    changed = logits.copy()
    changed[1, 0] += 0.02
    assert parity.worst_relative(Scores(logits, maps), Scores(changed, maps)) == pytest.approx(0.01)


@pytest.mark.parametrize(("deviation", "passes"), [(0.9e-4, True), (1.1e-4, False)])
def test_fp32_may_deviate_by_one_in_ten_thousand(deviation: float, passes: bool) -> None:
    wanted = answers()
    scale = np.abs(wanted.scores.logits).max(axis=1, keepdims=True).astype(np.float64)
    changed = Scores((wanted.scores.logits + deviation * scale).astype(np.float32), wanted.scores.maps)
    found = parity.compare("fp32", wanted, Answers(changed, wanted.grades, 0.8, 0.9))
    assert found.passed is passes and found.worst_relative == pytest.approx(deviation, rel=0.01)


def test_one_photograph_in_ten_whose_heatmap_is_another_is_too_many() -> None:
    wanted, form = answers(), answers()
    form.scores.maps[:20] = form.scores.maps[20:40]
    found = parity.compare("int8", wanted, form)
    assert found.spearman_median == 1 and found.spearman_p5 is not None and found.spearman_p5 < 0.9
    (reason,) = found.reasons
    assert reason.startswith("heatmaps' Spearman correlation, 5th percentile") and reason.endswith("at least 0.95")


def test_a_deviation_that_is_no_number_is_not_none() -> None:
    wanted = answers().scores
    spoilt = Scores(wanted.logits.copy(), wanted.maps)
    spoilt.logits[3, 2] = np.nan
    assert np.isnan(parity.worst_relative(wanted, spoilt))


PASSED, FAILED = tiny.PASSED, Parity(n=9, passed=False, reasons=("x",))


@pytest.mark.parametrize(
    ("forms", "parities", "said"),
    [
        ({"fp32": "a"}, {"fp32": PASSED}, None),
        ({"fp32": "a"}, {"fp32": PASSED, "int8": FAILED}, None),
        ({"fp32": "a", "int8": "b"}, {"fp32": PASSED, "int8": PASSED}, None),
        ({}, {}, "no fp32 form"),
        ({"fp32": "a"}, {}, "no fp32 form"),
        ({"fp32": "a"}, {"fp32": FAILED}, "no fp32 form"),
        ({"bf16": "a"}, {"fp32": PASSED, "bf16": PASSED}, "no fp32 form"),
        ({"fp32": "a", "bf16": "a"}, {"fp32": PASSED}, "form bf16"),
        ({"fp32": "a", "int8": "b"}, {"fp32": PASSED, "int8": FAILED}, "form int8"),
        ({"fp32": "a"}, {"fp32": Parity(n=9, passed=True)}, "no fp32 form"),
        ({"fp32": "a"}, {"fp32": PASSED.model_copy(update={"worst_relative": 2e-4})}, "no fp32 form"),
        ({"fp32": "a", "int8": "b"}, {"fp32": PASSED, "int8": PASSED.model_copy(update={"n": 0})}, "form int8"),
    ],
)
def test_only_forms_that_passed_may_be_registered(
    forms: dict[str, str], parities: dict[str, Parity], said: str | None
) -> None:
    found = parity.refusal(forms, parities)  # type: ignore[arg-type]
    assert found is None if said is None else said in str(found)
