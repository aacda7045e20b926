import io
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from clarity.cli.demo import summary
from clarity.cli.demo.story import Demo
from clarity.cli.demo.summary import Facts
from clarity.errors import SourceError
from clarity.settings import Settings
from tests.conftest import PROJECT

WILSON = {"value": 1.0, "low": 1.0, "high": 1.0, "n": 63, "wilson_low": 0.94, "wilson_high": 1.0}
METRICS: dict[str, Any] = {
    "qwk": {"value": 0.9, "low": 0.85, "high": 0.93, "n": 139},
    "auroc_referable": None,
    "sensitivity_referable": {
        "value": 0.87,
        "low": 0.8,
        "high": 0.93,
        "n": 76,
        "wilson_low": 0.77,
        "wilson_high": 0.93,
    },
    "specificity_referable": WILSON,
}


@pytest.fixture
def facts() -> Facts:
    answer = {"grade": 0, "name": "no apparent DR", "confidence": 0.6, "referable": False, "round_trip_ms": 84.0,
              "macular_oedema": "not assessed", "history": {"visits": 1, "scans": 2}}  # fmt: skip
    return Facts(
        timings_s={"up": 12.6, "total": 371.5},
        dataset={"version": "5f78", "phantoms": True, "committed": True, "total": 900, "by_grade": {"0": 179},
                 "quarantined": 0},
        test=summary.test_figures(METRICS),
        gate={"accepted": True, "decision": "promoted", "reasons": ["passed: QWK 0.895"], "note": "low floors"},
        model_version="clarity-demo 1",
        screened={"captures": {"scored": 38}, "outcomes": {"refer": 13}},
        prediction=answer,
        peak_rss_mb=4428,
        files={"these facts": "demo.json"},
        servers={"Prefect": "http://127.0.0.1:4200/runs  (flow runs)", "MLflow": "http://127.0.0.1:5000/#/models/demo"},
        overlay="conf/demo.yaml",
    )  # fmt: skip


def shown(facts: Facts, width: int = 200) -> str:
    out = io.StringIO()
    summary.show(facts, Console(file=out, width=width))
    return out.getvalue()


def test_a_path_stays_whole_on_a_narrow_terminal(facts: Facts) -> None:
    path = ".clarity/demo/" + "a-long-way/" * 10 + "report.html"
    assert f"Look at  {path}  (report)\n" in shown(replace(facts, files={"report": path}), width=60)


def test_it_says_where_to_look_in_prefect_and_in_mlflow(facts: Facts) -> None:
    said = shown(facts, width=60)
    assert "Prefect  http://127.0.0.1:4200/runs  (flow runs)\n" in said
    assert "MLflow   http://127.0.0.1:5000/#/models/demo\n" in said


def test_a_folder_that_is_not_there_is_told_before_anything_is_started(tmp_path: Path) -> None:
    settings = Settings(CLARITY_HOME=tmp_path / "home", CLARITY_PROJECT=PROJECT)
    with pytest.raises(SourceError, match="nowhere: there is no such folder"):
        Demo(settings, tmp_path / "nowhere", Console())
    assert not (tmp_path / "home").exists()


def test_figures_are_plain_values_with_wilsons_interval_for_shares() -> None:
    test = summary.test_figures(METRICS)
    assert (test["qwk"], test["specificity"], test["n"]) == (0.9, 1.0, 139)
    assert test["intervals"]["qwk"] == [0.85, 0.93]
    assert test["intervals"]["specificity"] == [0.94, 1.0]


def test_a_figure_that_is_not_defined_is_said_and_not_made_up(facts: Facts) -> None:
    assert facts.test["auroc_referable"] is None
    assert facts.test["intervals"]["auroc_referable"] is None
    assert "not defined on this test split" in shown(facts)


def test_phantoms_are_said_to_be_phantoms_and_real_photographs_are_not(facts: Facts) -> None:
    assert summary.PHANTOMS in shown(facts)
    real = shown(replace(facts, dataset=facts.dataset | {"phantoms": False}))
    assert summary.PHANTOMS not in real
    assert summary.NOT_A_DEVICE in real


def test_a_refused_model_ends_with_what_was_learnt_and_why_nothing_was_graded(facts: Facts) -> None:
    refused = facts.gate | {"accepted": False, "decision": "refused", "reasons": ["failed: QWK 0.09"]}
    said = shown(replace(facts, gate=refused, screened={}, prediction={}))
    assert "refused" in said
    assert "failed: QWK 0.09" in said
    assert "without a champion no photograph is graded" in said


def test_an_ungradable_answer_is_never_shown_as_a_grade(facts: Facts) -> None:
    answer = facts.prediction | {"grade": None, "name": None, "quality": {"reasons": ["blurred"]}}
    assert "ungradable: blurred" in shown(replace(facts, prediction=answer))


def test_programs_read_the_same_facts(facts: Facts, tmp_path: Path) -> None:
    summary.write(facts, tmp_path / "demo.json")
    assert json.loads((tmp_path / "demo.json").read_text()) == asdict(facts)
