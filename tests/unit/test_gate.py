"""The gate on predictions whose figures are known."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from clarity.params import GateParams
from clarity.registry import agreement, gate

FLOORS = GateParams(
    min_qwk=0.6,
    min_auroc_referable=0.85,
    min_sensitivity=0.8,
    min_specificity=0.7,
    above_chance=True,
    bootstrap=500,
    max_qwk_drop=0.01,
    note="",
)


def predictions(count: int, noise: float, *, seed: int = 0, photographs: int = 0) -> pd.DataFrame:
    """Two photographs a patient; the mean grade is the true one, which ``photographs`` decides, plus noise."""
    truth = np.random.default_rng(photographs).integers(0, 5, count)
    heard = truth + np.random.default_rng(seed).normal(0, noise, count)
    scores = np.exp(-3 * (np.arange(5)[None] - heard[:, None]) ** 2)
    frame = pd.DataFrame(scores / scores.sum(axis=1, keepdims=True), columns=["p0", "p1", "p2", "p3", "p4"])
    frame["grade"] = truth
    frame["sha256"] = [f"{photographs:08x}{i:056x}" for i in range(count)]
    frame["patient"] = [f"clinic:{i // 2}" for i in range(count)]
    return frame.assign(source="clinic", split="test")


def failed(reasons: tuple[str, ...]) -> list[str]:
    return [reason for reason in reasons if reason.startswith("failed")]


def test_the_first_model_is_judged_by_the_floors_alone() -> None:
    verdict = gate.judge(predictions(400, 0.4), None, FLOORS)
    assert verdict.accepted
    assert "no champion yet" in verdict.reasons[-1]
    assert "difference" not in verdict.figures


def test_a_first_model_below_a_floor_is_refused_with_the_figure_and_the_floor() -> None:
    verdict = gate.judge(predictions(400, 2.5), None, FLOORS)
    assert not verdict.accepted
    qwk = f"{verdict.figures['qwk']:.3f}"
    assert any(qwk in reason and "floor 0.600" in reason for reason in failed(verdict.reasons))


def test_noise_is_not_better_than_chance() -> None:
    frame = predictions(200, 0.3)
    shuffled = frame.assign(grade=np.random.default_rng(3).permutation(frame["grade"].to_numpy()))
    lax = FLOORS.model_copy(
        update={"min_qwk": -1.0, "min_auroc_referable": 0.0, "min_sensitivity": 0.0, "min_specificity": 0.0}
    )
    verdict = gate.judge(shuffled, None, lax)
    assert not verdict.accepted
    assert len(failed(verdict.reasons)) == 1
    assert "better than chance" in failed(verdict.reasons)[0]
    assert gate.judge(shuffled, None, lax.model_copy(update={"above_chance": False})).accepted


def test_a_clearly_better_challenger_replaces_the_champion() -> None:
    verdict = gate.judge(predictions(600, 0.4, seed=1), predictions(600, 0.8, seed=2), FLOORS)
    assert verdict.accepted
    assert verdict.figures["difference_low"] > 0


def test_a_clearly_worse_challenger_is_refused_even_above_every_floor() -> None:
    verdict = gate.judge(predictions(600, 0.8, seed=1), predictions(600, 0.4, seed=2), FLOORS)
    assert not verdict.accepted
    assert len(failed(verdict.reasons)) == 1
    assert "against the champion's" in failed(verdict.reasons)[0]


def test_a_challenger_equal_to_the_champion_passes_a_permitted_drop_of_nothing() -> None:
    same = predictions(100, 0.4)
    verdict = gate.judge(same, same.sample(frac=1, random_state=1), FLOORS.model_copy(update={"max_qwk_drop": 0.0}))
    assert verdict.accepted
    assert verdict.figures["difference"] == 0


def test_pairing_makes_the_interval_of_the_difference_narrower_than_that_of_one_model() -> None:
    champion = predictions(300, 0.6)
    challenger = champion.copy()
    challenger.loc[:4, ["p0", "p1", "p2", "p3", "p4"]] = 0.2  # almost the same model
    figures = gate.judge(challenger, champion, FLOORS).figures
    paired, single = figures["difference_high"] - figures["difference_low"], figures["qwk_high"] - figures["qwk_low"]
    assert paired < single / 2


def test_patients_are_resampled_and_not_photographs() -> None:
    """The same photographs of few patients, who are all good or all bad, say less than those of many."""
    many = predictions(400, 0.3)
    bad = many.index >= 200
    many.loc[bad, ["p0", "p1", "p2", "p3", "p4"]] = many.loc[bad, ["p4", "p3", "p2", "p1", "p0"]].to_numpy()
    many["patient"] = [f"clinic:{i}" for i in range(400)]
    few = many.assign(patient=[f"clinic:{i // 50}" for i in range(400)])
    width = [
        verdict.figures["qwk_high"] - verdict.figures["qwk_low"]
        for verdict in (gate.judge(many, None, FLOORS), gate.judge(few, None, FLOORS))
    ]
    assert width[1] > 2 * width[0]


def test_test_splits_of_different_photographs_are_refused_with_their_counts() -> None:
    champion = predictions(100, 0.3)
    verdict = gate.judge(champion.iloc[10:], champion.iloc[:95], FLOORS)
    assert not verdict.accepted
    assert "5 photographs only the challenger's, 10 only the champion's, 85 in both" in verdict.reasons[0]


def test_a_reference_grade_that_changed_between_the_two_is_refused() -> None:
    champion = predictions(100, 0.3)
    challenger = champion.copy()
    challenger.loc[0, "grade"] = (challenger.loc[0, "grade"] + 1) % 5
    verdict = gate.judge(challenger, champion, FLOORS)
    assert not verdict.accepted
    assert "another reference grade" in verdict.reasons[0]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: f.iloc[:0], "no predictions on the test split"),
        (lambda f: f.assign(split="validation"), "no predictions on the test split"),
        (lambda f: f.drop(columns="patient"), "lack the columns patient"),
        (lambda f: pd.concat([f, f.iloc[:1]]), "1 photograph twice"),
        (lambda f: f.assign(grade=f["grade"].where(f.index != 3, 7)), "1 photograph of the challenger's"),
        (lambda f: f.assign(p2=f["p2"].where(f.index != 3, np.nan)), "not probabilities"),
        (lambda f: f.assign(p2=f["p2"] + 0.5), "not probabilities"),
    ],
)
def test_a_challenger_that_cannot_be_judged_is_refused_and_not_an_error(spoil, said: str) -> None:  # type: ignore[no-untyped-def]
    verdict = gate.judge(spoil(predictions(50, 0.3)), None, FLOORS)
    assert not verdict.accepted
    assert any(said in reason for reason in verdict.reasons)


def test_figures_that_are_not_defined_never_pass() -> None:
    """Without a referable photograph there is no sensitivity and no AUROC."""
    frame = predictions(100, 0.3)
    verdict = gate.judge(frame[frame["grade"] < 2], None, FLOORS.model_copy(update={"min_qwk": 0.0}))
    assert not verdict.accepted
    assert sum("not defined" in reason for reason in failed(verdict.reasons)) == 2


def test_one_patient_gives_a_verdict() -> None:
    assert not gate.judge(predictions(2, 0.1), None, FLOORS).accepted


def test_the_note_is_said_with_every_verdict() -> None:
    noted = FLOORS.model_copy(update={"note": "these floors are a demonstration's, not a clinic's"})
    for frame in (predictions(400, 0.4), predictions(400, 2.5), predictions(10, 0.4).iloc[:0]):
        assert "these floors are a demonstration's" in gate.judge(frame, None, noted).reasons[-1]


def test_the_same_models_get_the_same_verdict_again() -> None:
    challenger, champion = predictions(100, 0.5, seed=1), predictions(100, 0.5, seed=2)
    again = gate.judge(challenger.sample(frac=1, random_state=5), champion, FLOORS)
    assert gate.judge(challenger, champion, FLOORS) == again


def test_the_callers_frames_are_not_changed() -> None:
    challenger, champion = predictions(50, 0.5, seed=1), predictions(50, 0.5, seed=2)
    before = challenger.copy(), champion.copy()
    gate.judge(challenger, champion, FLOORS)
    pd.testing.assert_frame_equal(challenger, before[0])
    pd.testing.assert_frame_equal(champion, before[1])


def test_the_operating_threshold_of_the_bundle_decides_sensitivity() -> None:
    frame = predictions(400, 0.9)
    low = gate.judge(frame, None, FLOORS, rule=gate.Rule(referable_threshold=0.05)).figures
    high = gate.judge(frame, None, FLOORS, rule=gate.Rule(referable_threshold=0.95)).figures
    assert low["sensitivity"] > high["sensitivity"]
    assert low["specificity"] < high["specificity"]


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=60))
def test_kappa_of_the_tables_is_scikit_learns_kappa(pairs: list[tuple[int, int]]) -> None:
    truth, guess = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    ours = agreement.qwk(agreement.patient_tables(np.arange(len(pairs)) // 2, truth, guess))[0]
    if len(set(truth) | set(guess)) == 1:
        assert ours == 0
    else:
        theirs = metrics.cohen_kappa_score(truth, guess, weights="quadratic", labels=list(range(5)))
        assert ours == pytest.approx(theirs, abs=1e-9)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=2, max_size=60))
def test_auroc_by_ranks_is_scikit_learns_auroc(rows: list[tuple[bool, int]]) -> None:
    positive, scores = np.array([r[0] for r in rows]), np.array([r[1] / 10 for r in rows])
    if positive.all() or not positive.any():
        assert np.isnan(agreement.auroc(positive, scores))
    else:
        assert agreement.auroc(positive, scores) == pytest.approx(metrics.roc_auc_score(positive, scores))


def test_a_resample_counts_whole_patients() -> None:
    """Kappa under counts is kappa of the frame in which each patient's rows stand as often as drawn."""
    frame = predictions(60, 0.8)
    guess = frame[["p0", "p1", "p2", "p3", "p4"]].to_numpy().argmax(axis=1)
    tables = agreement.patient_tables(frame["patient"], frame["grade"], guess)
    counts = agreement.resamples(len(tables), 5, np.random.default_rng(0))
    assert (counts.sum(axis=1) == len(tables)).all()
    ids = sorted(frame["patient"].unique())
    for row, value in zip(counts, agreement.qwk(tables, counts), strict=True):
        places = [np.flatnonzero(frame["patient"] == patient) for patient in ids]
        drawn = np.concatenate([np.tile(place, times) for place, times in zip(places, row, strict=True)])
        expected = metrics.cohen_kappa_score(frame["grade"].to_numpy()[drawn], guess[drawn], weights="quadratic")
        assert value == pytest.approx(expected)
