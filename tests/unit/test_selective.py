"""Coverage and what is left, by arithmetic on paper."""

import math
from functools import partial

import numpy as np
import pandas as pd
import pytest

from clarity.training import metrics, selective
from clarity.training.metrics import Operating

FIGURES = partial(metrics.figures, operating=Operating("argmax"), bootstrap=20, bins=5)


def table(truth: list[int], guess: list[int], near: list[bool], strange: list[bool]) -> pd.DataFrame:
    frame = pd.DataFrame(np.eye(5)[guess], columns=[f"p{k}" for k in range(5)])
    columns = {"grade": truth, "patient": [f"p{i}" for i in range(len(truth))]}
    return frame.assign(**columns, near_threshold=near, unfamiliar=strange)


def test_a_photograph_with_two_reasons_is_handed_over_once() -> None:
    near, strange = [True, True, False, False, False], [True, False, True, False, False]
    found = selective.measure(table([0, 1, 2, 3, 4], [4, 0, 0, 3, 4], near, strange), FIGURES)
    assert found.coverage.value == 0.4 and found.coverage.n == 5
    assert (found.coverage.low, found.coverage.high) == pytest.approx(metrics.wilson(2, 5))
    assert found.reasons == {"near_threshold": 2, "unfamiliar": 2}
    assert found.figures.intervals["accuracy"].value == 1.0 and found.figures.intervals["accuracy"].n == 2
    assert set(found.plain()) >= {"coverage", "accuracy", "qwk"}


def test_where_everything_is_handed_over_no_figure_is_claimed() -> None:
    found = selective.measure(table([0, 2], [0, 2], [True, True], [False, False]), FIGURES)
    assert found.coverage.value == 0.0
    assert set(found.plain()) == {"coverage"}
    assert math.isnan(found.figures.intervals["accuracy"].value)
