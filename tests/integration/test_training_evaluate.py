"""Evaluation of a really trained network: the bundle, the figures, the report, and scoring again for the gate."""

import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from clarity.errors import ManifestError
from clarity.inference import canary, decision
from clarity.inference.bundle import Bundle
from clarity.inference.engine import Engine
from clarity.inference.grader import Grader
from clarity.params import Params
from clarity.training import evaluate, fit, scoring
from clarity.training.datamodule import PreparedSet, normalise
from clarity.training.identity import Origin
from clarity.training.paths import Paths
from clarity.training.tracking import Untracked
from tests import learnable

ORIGIN = Origin("abc123", "deadbeef")


class Recorded(Untracked):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}
        self.stored: list[str] = []
        self.said: dict[str, str] = {}

    def tags(self, values: Mapping[str, str]) -> None:
        self.said |= values

    def metrics(self, values: dict[str, float], step: int = 0) -> None:
        self.values |= values

    def artifact(self, path: Path, folder: str = "") -> None:
        self.stored += sorted(child.name for child in path.iterdir()) if path.is_dir() else [path.name]


@dataclass
class Evaluated:
    paths: Paths
    params: Params
    result: evaluate.Evaluation
    record: Recorded


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory, resnet: Params) -> Evaluated:
    """A workspace trained for two epochs and evaluated."""
    paths = learnable.workspace(tmp_path_factory.mktemp("evaluated"), resnet, count=100)
    fit.fit(resnet, paths, Untracked())
    record = Recorded()
    return Evaluated(paths, resnet, evaluate.evaluate(resnet, paths, record, ORIGIN), record)


def predictions(evaluated: Evaluated) -> pd.DataFrame:
    return pd.read_csv(evaluated.paths.evaluation / "predictions.csv")


def test_every_gradable_photograph_of_validation_and_test_has_five_probabilities(evaluated: Evaluated) -> None:
    frame = predictions(evaluated)
    assert list(frame.columns) == list(scoring.COLUMNS)
    prepared = PreparedSet.open(evaluated.paths)
    wanted = prepared.rows("validation") + prepared.rows("test")
    assert sorted(frame["sha256"]) == sorted(prepared.table["sha256"].iloc[wanted])
    np.testing.assert_allclose(frame[[f"p{k}" for k in range(5)]].sum(axis=1), 1, atol=1e-4)


def test_the_figures_are_those_of_the_predictions_and_every_one_has_its_interval(evaluated: Evaluated) -> None:
    said = json.loads((evaluated.paths.evaluation / "metrics.json").read_text())
    frame = predictions(evaluated)
    test = frame[frame["split"] == "test"]
    assert said["test"]["accuracy"]["value"] == pytest.approx((test["predicted"] == test["grade"]).mean())
    assert said["test"]["qwk"]["n"] == len(test)
    for name in ("qwk", "accuracy", "auroc_referable", "sensitivity_referable", "specificity_vision_threatening"):
        figure = said["test"][name]
        assert figure["low"] <= figure["high"], name
    assert said["test"]["sensitivity_referable"]["wilson_low"] <= said["test"]["sensitivity_referable"]["value"]
    assert said["counts"]["test"]["gradable"] + 4 >= said["counts"]["test"]["photographs"]
    share = said["counts"]["test"]["gradable"] / said["counts"]["test"]["photographs"]
    assert said["test"]["imageability"]["value"] == pytest.approx(share)
    assert said["sources"]["phantoms"]["qwk"] == said["test"]["qwk"]
    assert said["phantoms"] is True


def test_the_bundle_is_whole_and_says_the_same_figures(evaluated: Evaluated) -> None:
    spec = Bundle.load(evaluated.paths.bundle).spec
    assert spec.data_version == "abc123"
    assert spec.git_commit == "deadbeef"
    assert spec.metrics["qwk"] == evaluated.result.test.intervals["qwk"]
    assert spec.temperature == pytest.approx(evaluated.result.temperature)
    assert "not photographs of eyes" in spec.data_summary


def test_every_form_was_compared_on_validation_and_only_those_that_passed_are_in_the_bundle(
    evaluated: Evaluated,
) -> None:
    spec = Bundle.load(evaluated.paths.bundle).spec
    validation = len(PreparedSet.open(evaluated.paths).rows("validation"))
    assert set(spec.parity) == {"fp32", "bf16", "int8"}
    assert spec.parity["fp32"].passed and spec.parity["fp32"].n == validation
    assert spec.parity["fp32"].worst_relative < 1e-4
    assert set(spec.forms) == {precision for precision, found in spec.parity.items() if found.passed}
    assert ("model.int8.xml" in spec.files) == ("int8" in spec.forms)
    for precision, found in spec.parity.items():
        for name, value in found.figures().items():
            assert evaluated.record.values[f"parity/{precision}/{name}"] == value


def test_the_engine_that_runs_says_what_the_trained_network_says(evaluated: Evaluated) -> None:
    prepared = PreparedSet.open(evaluated.paths)
    images = prepared.images(prepared.rows("test")[:6])
    network = fit.load(evaluated.params, evaluated.paths.training / "best.ckpt")
    x = normalise(torch.from_numpy(images).permute(0, 3, 1, 2))
    with torch.inference_mode():
        ours = network(x).numpy()
    engine = Engine.load(Bundle.load(evaluated.paths.bundle), precision="fp32")
    np.testing.assert_allclose(engine.run(x.numpy()).logits, ours, rtol=1e-3, atol=1e-3)


def test_coverage_stands_beside_the_figures_of_what_it_decides_on(evaluated: Evaluated) -> None:
    said = json.loads((evaluated.paths.evaluation / "metrics.json").read_text())["abstention"]["all"]
    frame = predictions(evaluated)
    test = frame[frame["split"] == "test"]
    decided = test[~(test["near_threshold"] | test["unfamiliar"])]
    assert said["coverage"]["value"] == pytest.approx(len(decided) / len(test))
    assert said["coverage"]["n"] == len(test)
    assert said["reasons"] == {name: int(test[name].sum()) for name in ("near_threshold", "unfamiliar")}
    assert said["accuracy"]["value"] == pytest.approx((decided["predicted"] == decided["grade"]).mean())
    assert said["accuracy"]["n"] == len(decided)
    assert evaluated.record.values["decided/coverage"] == said["coverage"]["value"]
    assert evaluated.record.values["decided/accuracy"] == said["accuracy"]["value"]
    spec = Bundle.load(evaluated.paths.bundle).spec
    assert spec.selective["coverage"].value == said["coverage"]["value"]
    assert f"| coverage | {said['coverage']['value']:.3f} |" in Bundle.load(evaluated.paths.bundle).card
    page = (evaluated.paths.evaluation / "report.html").read_text()
    assert f"It decides on {said['coverage']['value']:.1%}" in page


def test_what_it_abstains_on_was_chosen_on_validation_and_stands_in_the_bundle(evaluated: Evaluated) -> None:
    spec = Bundle.load(evaluated.paths.bundle).spec
    frame = predictions(evaluated)
    validation = frame[frame["split"] == "validation"]
    assert spec.abstention == evaluated.result.operating.abstention
    # Two where the photographs between which the threshold lies midway are the nearest to it.
    assert len(validation) == 20 and validation["near_threshold"].sum() in (1, 2)
    assert validation["unfamiliar"].sum() == 1


def test_nights_are_compared_with_the_validation_split(evaluated: Evaluated) -> None:
    reference = Bundle.load(evaluated.paths.bundle).spec.reference
    assert reference is not None
    table = PreparedSet.open(evaluated.paths).table
    validation = table[table["split"] == "validation"]
    assert sum(reference.quality.counts) == len(validation) == sum(reference.cameras.counts)
    assert sum(reference.score.counts) == validation["gradable"].sum()
    assert reference.quality.patients == validation["patient"].nunique()
    assert reference.cameras.labels == ("unknown",)
    assert reference.false_alarms == evaluated.params.evaluate.drift_false_alarms


def test_canaries_were_heard_by_every_form(evaluated: Evaluated) -> None:
    bundle = Bundle.load(evaluated.paths.bundle)
    assert len(bundle.spec.canaries) == evaluated.params.evaluate.canaries
    assert bundle.refusal() is None
    with Grader(bundle, Engine.load(bundle), "1") as grader:
        assert canary.check(grader) == []


@pytest.fixture(scope="module")
def turned(evaluated: Evaluated, tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    """The same network judged on photographs of another source, with all test grades turned round; no int8 of it."""
    paths = Paths(tmp_path_factory.mktemp("turned"))
    paths.artifacts.mkdir()
    for name in ("prepared", "training"):
        (paths.artifacts / name).symlink_to(evaluated.paths.artifacts / name)
    split = pd.read_csv(evaluated.paths.split).assign(source="idrid")
    split.loc[split["split"] == "test", "grade"] = 4 - split["grade"]
    split.to_csv(paths.split, index=False)
    judged = evaluated.params.evaluate.model_copy(update={"quantise_photographs": 0, "canaries": 1})
    params, record = evaluated.params.model_copy(update={"evaluate": judged}), Recorded()
    return Evaluated(paths, params, evaluate.evaluate(params, paths, record, ORIGIN), record)


def test_temperature_and_thresholds_come_from_validation_alone(evaluated: Evaluated, turned: Evaluated) -> None:
    assert turned.result.temperature == evaluated.result.temperature
    assert turned.result.operating == evaluated.result.operating
    assert turned.result.test.intervals["accuracy"] != evaluated.result.test.intervals["accuracy"]


def test_the_report_needs_nothing_else_and_says_what_it_is_not(evaluated: Evaluated) -> None:
    page = (evaluated.paths.evaluation / "report.html").read_text()
    assert "not a medical device" in page
    assert "phantoms" in page
    assert not re.search(r"(src|href)=['\"](?!data:)", page)
    assert page.count("data:image/png;base64,") == 5
    assert "Macular oedema is not assessed" in page


def test_the_report_has_every_form_with_its_figures_and_its_verdict(evaluated: Evaluated) -> None:
    page = (evaluated.paths.evaluation / "report.html").read_text()
    section = page[page.index("<h2>Forms</h2>") : page.index("<h2>Origin</h2>")]
    parity = Bundle.load(evaluated.paths.bundle).spec.parity
    rows = re.findall(r"<tr><td>(.*?)</td></tr>", section)
    assert [row.split("<")[0] for row in rows] == list(parity)
    for row, found in zip(rows, parity.values(), strict=True):
        verdict = "passed" if found.passed else "left out: " + html.escape("; ".join(found.reasons))
        assert f"<td>{verdict}</td>" in row
        assert found.grades_equal is None or f"<td>{found.grades_equal:.2%}</td>" in row


def test_photographs_of_eyes_are_not_called_phantoms(turned: Evaluated) -> None:
    assert "phantom" not in (turned.paths.evaluation / "report.html").read_text().lower()
    assert "phantom" not in Bundle.load(turned.paths.bundle).spec.data_summary
    assert json.loads((turned.paths.evaluation / "metrics.json").read_text())["phantoms"] is False


def test_pictures_figures_and_tables_go_into_the_record(evaluated: Evaluated) -> None:
    stored = set(evaluated.record.stored)
    assert {"metrics.json", "predictions.csv", "report.html", "errors.png", "confusion.png", "roc.png"} <= stored
    assert {"curves.png", "reliability.png"} <= stored
    assert evaluated.record.values["test/qwk"] == evaluated.result.test.intervals["qwk"].value


def test_what_the_evaluation_depends_on_is_tagged_and_kept_for_the_version(evaluated: Evaluated) -> None:
    tags = evaluated.record.said
    assert tags["evaluate.target_sensitivity"] == str(evaluated.params.evaluate.target_sensitivity)
    assert tags["quality.min_score"] == str(evaluated.params.quality.min_score)
    assert tags["clarity.evaluate_commit"] == ORIGIN.git_commit
    assert json.loads((evaluated.paths.evaluation / "tags.json").read_text()) == tags


def test_a_bundle_scored_again_gives_the_same_predictions(evaluated: Evaluated) -> None:
    again = scoring.score_bundle(Bundle.load(evaluated.paths.bundle), evaluated.paths)
    before = predictions(evaluated)
    before = before[before["split"] == "test"].reset_index(drop=True)
    pd.testing.assert_frame_equal(again, before, rtol=1e-3, atol=1e-4)


def test_a_bundle_that_prepares_otherwise_is_scored_from_the_photographs(evaluated: Evaluated, tmp_path: Path) -> None:
    """The champion was trained at another size: it gets its own preparation of the same photographs."""
    from tests import tiny

    champion = tiny.write_bundle(tmp_path / "champion", imaging=tiny.IMAGING.model_copy(update={"clahe_tiles": 2}))
    paths = Paths(tmp_path)
    paths.artifacts.mkdir()
    (paths.artifacts / "prepared").symlink_to(evaluated.paths.prepared)
    (paths.artifacts / "split.csv").symlink_to(evaluated.paths.split)
    with pytest.raises(ManifestError, match="photograph"):
        scoring.score_bundle(champion, paths)
    prepared = PreparedSet.open(paths)
    for number, row in enumerate(prepared.rows("test")):
        sha256 = str(prepared.table["sha256"].iloc[row])
        folder = paths.photographs / sha256[:2]
        folder.mkdir(parents=True, exist_ok=True)
        done, data = cv2.imencode(".png", tiny.eye(seed=number)[:, :, ::-1])
        assert done
        (folder / f"{sha256}.png").write_bytes(data.tobytes())
    frame = scoring.score_bundle(champion, paths)
    assert set(frame["sha256"]) == set(scoring.score_bundle(Bundle.load(evaluated.paths.bundle), paths)["sha256"])
    assert np.isfinite(frame[["p0", "p4"]].to_numpy()).all()
    assert (frame["predicted"] == decision.grade(frame[[f"p{k}" for k in range(5)]].to_numpy(), "expected")).all()


def test_a_split_without_a_gradable_photograph_is_named(evaluated: Evaluated, tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    paths.artifacts.mkdir()
    for name in ("prepared", "training"):
        (paths.artifacts / name).symlink_to(evaluated.paths.artifacts / name)
    split = pd.read_csv(evaluated.paths.split)
    split[split["split"] != "test"].to_csv(paths.split, index=False)
    with pytest.raises(ManifestError, match="no gradable photograph in test"):
        evaluate.evaluate(evaluated.params, paths, Untracked(), ORIGIN)
