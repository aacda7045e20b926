import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarity import grades


def test_names_are_the_clinics_own_in_grade_order() -> None:
    assert [grades.name(g) for g in grades.GRADES] == [
        "no apparent DR",
        "mild NPDR",
        "moderate NPDR",
        "severe NPDR",
        "proliferative DR",
    ]


@pytest.mark.parametrize("value", [-1, 5, True, 2.0, "2", None])
def test_what_is_not_an_icdr_grade_is_refused_by_value(value: object) -> None:
    assert not grades.is_grade(value)
    with pytest.raises(ValueError, match="not one of the ICDR grades"):
        grades.name(value)  # type: ignore[arg-type]


def test_more_than_mild_is_referable_and_severe_or_worse_threatens_vision() -> None:
    assert [grades.is_referable(g) for g in grades.GRADES] == [False, False, True, True, True]
    assert [grades.is_vision_threatening(g) for g in grades.GRADES] == [False, False, False, True, True]


@given(st.lists(st.floats(0.001, 1), min_size=5, max_size=5))
def test_probabilities_of_the_outcomes_are_the_tails_of_the_grades(weights: list[float]) -> None:
    p = [w / sum(weights) for w in weights]
    assert grades.referable_probability(p) == pytest.approx(1 - p[0] - p[1])
    assert grades.vision_threatening_probability(p) == pytest.approx(p[3] + p[4])
    assert 0 <= grades.expected_grade(p) <= 4
