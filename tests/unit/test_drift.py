"""Planted changes are found, clean nights raise nothing, and the rate of false alarms is the one that is stated."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from scipy.stats import chi2

from clarity.imaging import prepare
from clarity.inference import drift, shares
from clarity.inference.drift import Drift, Night, Reference
from tests import tiny

ALARMS = 0.001
MADE = ["Kowa VX-10", "Topcon NW400", "Topcon NW400", "Canon CR-2"]


def draw(count: int, seed: int, *, sick: float = 0.3, dim: float = 1.0, cameras: list[str] = MADE) -> Night:
    """A night of ``count`` patients, one photograph each, from one population."""
    rng = np.random.default_rng(seed)
    referable = rng.random(count) < sick
    scores = np.where(referable, rng.beta(6, 2, count), rng.beta(1, 8, count))
    return Night(dim * rng.beta(8, 2, count), scores, rng.choice(cameras, count).tolist())


def reference(count: int = 150, seed: int = 1, alarms: float = ALARMS) -> Reference:
    seen = draw(count, seed)
    return Reference(
        shares.binned(seen.qualities, count), shares.binned(seen.scores, count), shares.mix(seen.cameras, count), alarms
    )


def found(verdicts: list[Drift]) -> list[str]:
    return [one.name for one in verdicts if one.found]


def test_twenty_clean_nights_raise_nothing() -> None:
    known = reference()
    for seed in range(100, 120):
        assert found(drift.compare(known, draw(200, seed))) == [], seed


@pytest.mark.parametrize("size", [40, 200, 2000])
def test_of_five_thousand_clean_nights_the_stated_share_raises_an_alarm(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each against a reference of its own; without the least effect, which would only lower the rate."""
    monkeypatch.setattr(drift, "LEAST_PSI", 0.0)
    alarms = np.zeros(3)
    for seed in range(5000):
        verdicts = drift.compare(reference(150, 10_000 + seed, 0.05), draw(size, 50_000 + seed))
        alarms += [one.found for one in verdicts]
    assert (alarms / 5000 < 0.06).all() and (alarms / 5000 > 0.015).all(), alarms


@pytest.mark.parametrize("size", [200, 5000])
@pytest.mark.parametrize(
    ("planted", "named"),
    [
        ({"sick": 0.6}, ["referable probability"]),
        ({"sick": 0.05}, ["referable probability"]),
        ({"dim": 0.7}, ["quality"]),
        ({"cameras": [*MADE, "Optos Daytona", "Optos Daytona"]}, ["camera"]),
        ({"cameras": ["Kowa VX-10"]}, ["camera"]),
    ],
)
def test_a_planted_change_is_found_and_nothing_else(size: int, planted: dict[str, object], named: list[str]) -> None:
    for seed in range(5):
        assert found(drift.compare(reference(), draw(size, 200 + seed, **planted))) == named  # type: ignore[arg-type]


@pytest.mark.parametrize("spoilt", ["blurred", "dark"])
def test_photographs_that_became_blurred_or_dark_are_found_by_their_real_quality_scores(spoilt: str) -> None:
    def score(seed: int, bad: bool) -> float:
        image = tiny.eye(seed=seed)
        rng = np.random.default_rng(seed)
        image = (image * rng.uniform(0.75, 1.0)).astype(np.uint8)
        if bad:
            image = cv2.GaussianBlur(image, (0, 0), 6) if spoilt == "blurred" else (image * 0.45).astype(np.uint8)
        return prepare(tiny.jpeg(image), tiny.IMAGING, tiny.PARAMS.quality).quality.score

    clean = [score(seed, False) for seed in range(80)]
    known = replace(reference(), quality=shares.binned(clean[:40], 40))
    assert "quality" not in found(drift.compare(known, Night(clean[40:], [], [])))
    bad = [score(seed, True) for seed in range(80, 120)]
    (first, *_) = drift.compare(known, Night(bad, [], []))
    assert first.found and "quality: changed since training" in first.sentence


def test_a_change_is_told_with_its_figures_and_where_it_lies() -> None:
    verdict = drift.compare(reference(), draw(400, 7, sick=0.9))[1]
    assert verdict.found and verdict.n == 400 and verdict.psi is not None and verdict.critical is not None
    assert verdict.psi > verdict.critical >= drift.LEAST_PSI
    assert f"PSI {verdict.psi:.2f}, above {verdict.critical:.2f}" in verdict.sentence
    assert "% of 400 photographs" in verdict.sentence and "% in training" in verdict.sentence


def test_a_trifle_is_no_alarm_however_large_the_night() -> None:
    known = reference(20_000)
    verdict = drift.compare(known, draw(100_000, 3, sick=0.33))[1]
    assert not verdict.found and verdict.critical == drift.LEAST_PSI
    unlimited = drift.chi_square(1 - ALARMS, 4) * (1 / 20_000 + 1 / 100_000)
    assert verdict.psi is not None and verdict.psi > unlimited  # which counting alone would have told


def test_photographs_of_few_patients_are_little_evidence() -> None:
    """Four alike photographs of each of 50 patients are 50 opinions and not 200."""
    alarms = {"patients": 0, "photographs": 0}
    for seed in range(400):
        one = draw(50, 900 + seed)
        four = Night(np.repeat(one.qualities, 4), np.repeat(one.scores, 4), one.cameras, patients=50)
        known = reference(300, seed, 0.05)
        alarms["patients"] += drift.compare(known, four)[1].found
        alarms["photographs"] += drift.compare(known, replace(four, patients=None))[1].found
    assert alarms["patients"] <= 0.06 * 400 < 0.15 * 400 < alarms["photographs"]


@pytest.mark.parametrize(
    ("known", "night"),
    [(reference(), draw(29, 1, sick=1.0)), (reference(29), draw(500, 1, sick=1.0)), (reference(), draw(0, 1))],
)
def test_too_few_say_nothing(known: Reference, night: Night) -> None:
    for verdict in drift.compare(known, night):
        assert not verdict.found and verdict.psi is None
        assert "too few to say" in verdict.sentence or "not known" in verdict.sentence


def test_cameras_that_nobody_noted_are_not_compared() -> None:
    known = replace(reference(), cameras=shares.mix([None] * 150, 150))
    verdict = drift.compare(known, draw(300, 5))[2]
    assert not verdict.found and "the training photographs' cameras are not known" in verdict.sentence
    verdict = drift.compare(reference(), replace(draw(300, 5), cameras=[None] * 300))[2]
    assert not verdict.found and "the night's cameras are not known" in verdict.sentence


def test_scores_that_were_all_alike_and_are_no_longer_are_found() -> None:
    alike = replace(reference(), quality=shares.binned([1.0] * 150, 150))
    assert not drift.compare(alike, Night([1.0] * 200, [], []))[0].found
    assert drift.compare(alike, Night([0.6] * 200, [], []))[0].found


def test_rounding_at_another_precision_is_no_change() -> None:
    """A confident network: most probabilities within a hundredth of 0 or 1."""
    rng = np.random.default_rng(0)
    sure = np.where(rng.random(600) < 0.2, 0.995, 0.004) + rng.normal(0, 0.001, 600)
    known = replace(reference(), score=shares.binned(sure[:300], 300))
    assert not drift.compare(known, Night([], sure[300:] + 0.003, []))[1].found


@pytest.mark.parametrize("degrees", [1, 2, 4, 9, 30])
@pytest.mark.parametrize("share", [0.9, 0.99, 0.999])
def test_the_quantile_is_that_of_the_chi_square_distribution(degrees: int, share: float) -> None:
    assert drift.chi_square(share, degrees) == pytest.approx(chi2.ppf(share, degrees), rel=0.035)


def test_bins_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="no bins"):
        shares.Shares(("a", "b"), (1,), 3)
    with pytest.raises(ValueError, match="negative"):
        shares.Shares(("a",), (-1,), 3)
