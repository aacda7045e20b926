"""Referral policies are data that cannot say something dangerous by a slip."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from clarity import params as parameters
from clarity.errors import ParameterError
from clarity.screening import policy
from clarity.screening.policy import Policy, Within

FOLDER = Path(__file__).resolve().parents[2] / policy.FOLDER
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))


@pytest.fixture
def changed(tmp_path: Path) -> Callable[[Callable[[dict[str, Any]], object]], Policy]:
    """The policy ``ada`` after a change of its file."""

    def load(change: Callable[[dict[str, Any]], object]) -> Policy:
        values = yaml.safe_load((FOLDER / "ada.yaml").read_text())
        change(values)
        (tmp_path / "ada.yaml").write_text(yaml.safe_dump(values))
        return policy.load(tmp_path, "ada")

    return load


def test_the_three_policies_of_the_clinic_are_there() -> None:
    assert NAMES == ["ada", "more-than-mild", "nhs-england-2025"]


@pytest.mark.parametrize("name", NAMES)
def test_every_policy_says_its_sources_what_was_checked_and_what_was_not(name: str) -> None:
    found = policy.load(FOLDER, name)
    assert all(source.link.startswith("https://") and "2026" in source.checked for source in found.sources)
    assert found.not_verified
    assert any("macul" in said for said in found.not_derivable)
    assert found.label == f"{found.name} {found.version}"


def test_the_configured_policy_exists() -> None:
    params = parameters.load(FOLDER.parent / "pipeline.yaml")
    assert policy.load(FOLDER, params.screening.policy).name == "ada"


def test_ada_is_the_clinics_table() -> None:
    steps = [(step.refers, step.within.months, step.within.days) for step in policy.load(FOLDER, "ada").grades]
    assert steps == [(False, 12, 0), (False, 12, 0), (True, 6, 0), (True, 0, 0), (True, 0, 0)]


def test_nhs_england_does_not_pretend_to_tell_what_a_grade_does_not_say() -> None:
    found = policy.load(FOLDER, "nhs-england-2025")
    assert ["R1, R2L or R2H" in " ".join(step.not_derivable) for step in found.grades] == [
        False, False, True, False, False,
    ]  # fmt: skip
    assert "R2L or R2H" in found.grades[3].not_derivable[0]
    assert "active or stable" in found.grades[4].not_derivable[0]
    assert "urgent" in found.grades[4].action
    assert any(said.startswith("M0 or M1") for said in found.not_derivable)


@pytest.mark.parametrize("name", ["adda", "../pipeline", "", "ada.yaml", "ADA"])
def test_an_unknown_policy_is_refused_with_the_nearest_name(name: str) -> None:
    with pytest.raises(ParameterError, match=r"unknown, did you mean [a-z0-9-]+\?"):
        policy.load(FOLDER, name)


def test_a_folder_without_policies_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="there are none in"):
        policy.load(tmp_path, "ada")


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (lambda v: v.update(verson="2"), "verson: unknown key, did you mean version"),
        (lambda v: v["grades"][2].update(refer=True), "grades.2.refer: unknown key, did you mean grades.refers"),
        (lambda v: v["grades"][0]["within"].update(month=3), "did you mean grades.within.months"),
        (lambda v: v.pop("ungradable"), "ungradable: missing"),
        (lambda v: v.update(sources=[]), "sources"),
        (lambda v: v["grades"].pop(), "not each of 0 to 4 in order"),
        (lambda v: v["grades"].reverse(), "not each of 0 to 4 in order"),
        (lambda v: v["grades"][2].update(refers=False), "grade 2: more than mild DR, and not referred"),
        (lambda v: v["grades"][0].update(refers=True), "grade 1: not referred, though grade 0 is"),
        (lambda v: v["grades"][4].update(within={"months": 1}), "grade 4: seen later than grade 3"),
        (lambda v: v["review"].update(within={}), "neither months nor days"),
        (lambda v: v["review"].update(within={"days": -1}), "review.within.days: -1"),
        (lambda v: v["review"].update(action=""), "review.action"),
        (lambda v: v.update(name="adb"), "names itself 'adb'"),
    ],
)
def test_a_slip_in_a_policy_is_refused_by_name(
    changed: Callable[[Callable[[dict[str, Any]], object]], Policy],
    change: Callable[[dict[str, Any]], object],
    verdict: str,
) -> None:
    with pytest.raises(ParameterError) as caught:
        changed(change)
    assert verdict in str(caught.value)
    assert "ada.yaml" in str(caught.value)


def test_a_policy_may_refer_earlier_than_more_than_mild(
    changed: Callable[[Callable[[dict[str, Any]], object]], Policy],
) -> None:
    assert changed(lambda values: values["grades"][1].update(refers=True)).grades[1].refers


@pytest.mark.parametrize(
    ("within", "day", "last"),
    [
        (Within(months=1), date(2026, 1, 31), date(2026, 2, 28)),
        (Within(months=1), date(2028, 1, 31), date(2028, 2, 29)),
        (Within(months=12), date(2028, 2, 29), date(2029, 2, 28)),
        (Within(months=3), date(2026, 11, 22), date(2027, 2, 22)),
        (Within(months=12), date(2026, 12, 31), date(2027, 12, 31)),
        (Within(days=0), date(2026, 11, 22), date(2026, 11, 22)),
        (Within(days=91), date(2026, 11, 22), date(2027, 2, 21)),
    ],
)
def test_months_are_calendar_months_and_end_with_the_month(within: Within, day: date, last: date) -> None:
    assert within.after(day) == last
