"""Canaries come back as they were, or somebody is told which did not; a bundle without them is not registered."""

import dataclasses
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clarity.errors import BundleError
from clarity.imaging import prepare
from clarity.inference import bundle as bundles
from clarity.inference import canary, export, processor
from clarity.inference.bundle import Bundle
from clarity.inference.canary import Canary, Expected
from clarity.inference.engine import Engine
from clarity.inference.grader import Grader
from clarity.inference.processor import PRECISIONS
from clarity.inference.scores import Scores
from clarity.records import Tensor
from clarity.registry.models import Registry
from clarity.training import canaries
from tests import tiny


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny.write_bundle(tmp_path_factory.mktemp("canaries"), precisions=PRECISIONS)


@pytest.fixture
def grader(bundle: Bundle) -> Iterator[Grader]:
    with Grader(bundle, Engine.load(bundle, precision="fp32", threads=1), "7") as made:
        yield made


def other(bundle: Bundle, *kept: Canary) -> Bundle:
    return Bundle(bundle.path, bundle.spec.model_copy(update={"canaries": kept}), bundle.digest)


def told(bundle: Bundle, *kept: Canary) -> list[str]:
    changed = other(bundle, *kept)
    with Grader(changed, Engine.load(changed, precision="fp32", threads=1), "7") as grader:
        return canary.check(grader)


class Shifted(Engine):
    """A real engine on a machine that computes something else."""

    shift = 0.5

    def run(self, tensor: Tensor) -> Scores:
        scores = super().run(tensor)
        return Scores(scores.logits + np.float32(self.shift) * np.arange(5, dtype=np.float32), scores.maps)


def test_every_form_of_the_bundle_finds_its_canaries_as_they_were(bundle: Bundle) -> None:
    assert bundle.spec.forms
    for precision in bundle.spec.forms:
        with Grader(bundle, Engine.load(bundle, precision=precision), "7") as grader:
            assert canary.check(grader) == []


def test_several_streams_find_them_too(bundle: Bundle) -> None:
    with Grader(bundle, Engine.load(bundle, threads=2, streams="throughput"), "7") as grader:
        assert canary.check(grader) == []


def test_they_are_drawn_in_every_grade_and_the_last_is_ungradable(bundle: Bundle) -> None:
    chosen = [one for one, _ in canaries.choose(bundle, 6)]
    assert [one.drawn_grade for one in chosen][:5] == [0, 1, 2, 3, 4]
    assert [one.drawn_gradable for one in chosen] == [True] * 5 + [False]
    for one in chosen:
        assert set(one.expected) == set(bundle.spec.forms)
        assert all(said.gradable == one.drawn_gradable for said in one.expected.values())
    bad = chosen[-1].expected["fp32"]
    assert bad.reasons and bad.grade is None and bad.probabilities == ()


def test_the_same_bundle_gets_the_same_canaries(bundle: Bundle) -> None:
    assert canaries.choose(bundle, 2) == canaries.choose(bundle, 2)


def test_a_canary_is_a_photograph_that_the_chain_reads(bundle: Bundle) -> None:
    for one in bundle.spec.canaries:
        assert one.file in bundle.spec.files
        prepared = prepare((bundle.path / one.file).read_bytes(), bundle.spec.imaging, bundle.spec.quality)
        assert prepared.quality.gradable == one.drawn_gradable


def test_an_engine_that_computes_something_else_is_told_canary_by_canary(bundle: Bundle) -> None:
    with Grader(bundle, Shifted.load(bundle, precision="fp32", threads=1), "7") as grader:
        found = canary.check(grader)
    gradable = [one.file for one in bundle.spec.canaries if one.drawn_gradable]
    assert [sentence.split(":")[0] for sentence in found] == gradable
    assert all("when the bundle was made" in sentence for sentence in found)


def test_a_grade_a_verdict_and_a_probability_that_changed_are_named(bundle: Bundle) -> None:
    good = next(one for one in bundle.spec.canaries if one.drawn_gradable)
    wanted = good.expected["fp32"]
    assert wanted.grade is not None

    def expecting(**changes: object) -> Canary:
        return replace(good, expected={"fp32": dataclasses.replace(wanted, **changes)})  # type: ignore[arg-type]

    away = (4 - wanted.grade) if wanted.grade != 2 else 0
    assert told(bundle, expecting(grade=away)) == [
        f"{good.file}: grade {wanted.grade} at fp32, grade {away} when the bundle was made"
    ]
    blurred = Expected(gradable=False, reasons=("blurred",))
    assert told(bundle, replace(good, expected={"fp32": blurred})) == [
        f"{good.file}: grade {wanted.grade} at fp32, ungradable (blurred) when the bundle was made"
    ]
    first, second, *rest = wanted.probabilities
    assert told(bundle, expecting(probabilities=(first + 0.009, second - 0.009, *rest))) == []
    (said,) = told(bundle, expecting(probabilities=(first + 0.011, second - 0.011, *rest)))
    assert "a probability differs by 0.011 from when the bundle was made, at most 0.01 at fp32" in said


def test_a_form_that_was_never_asked_cannot_be_checked_and_says_so(bundle: Bundle) -> None:
    good = bundle.spec.canaries[0]
    assert told(bundle, replace(good, expected={})) == [
        f"{good.file}: nothing is known of it at fp32, it cannot be checked"
    ]


def test_a_canary_whose_file_is_gone_or_spoilt_is_told_and_breaks_nothing(grader: Grader, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(grader.bundle.path, tmp_path / "bundle"))
    spoilt = Bundle.load(copy)
    name = spoilt.spec.canaries[0].file
    (copy / name).write_bytes((copy / name).read_bytes()[:200])
    with Grader(spoilt, grader.engine, "7") as later:
        (said,) = canary.check(later)
        assert said.startswith(f"{name}: ") and said.endswith("when the bundle was made")
        (copy / name).unlink()
        (said,) = canary.check(later)
        assert "they cannot be checked" in said
    with pytest.raises(BundleError, match=name):
        Bundle.load(copy)


def test_a_bundle_without_canaries_has_nothing_to_tell(bundle: Bundle) -> None:
    assert told(bundle) == []


def test_near_a_rounding_there_is_no_room() -> None:
    def room(*probabilities: float, decision: str = "expected") -> float:
        return canary.robust(Expected(True, grade=1, probabilities=probabilities), "bf16", decision)

    assert room(0.0, 1.0, 0.0, 0.0, 0.0) == pytest.approx(0.5 - 0.12)
    assert room(0.45, 0.55, 0.0, 0.0, 0.0) < 0
    assert room(0.45, 0.55, 0.0, 0.0, 0.0, decision="argmax") > 0
    assert room(0.49, 0.51, 0.0, 0.0, 0.0, decision="argmax") < 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"abstention": None}, "does not say when it abstains"),
        ({"reference": None}, "what nights are compared with"),
    ],
)
def test_a_bundle_that_was_not_evaluated_is_not_registered(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    draft = tiny.write_bundle(tmp_path, **changes)
    with pytest.raises(BundleError, match=said):
        Registry("http://127.0.0.1:9").register(draft.path, "run", "name")  # before anything is asked of a server


def test_a_bundle_without_canaries_is_not_registered(tmp_path: Path) -> None:
    network = tiny.TinyNetwork()
    export.export(network, tiny.SIZE, tmp_path / "graph")
    parity = tiny.measure(network, tmp_path / "graph", tiny.SIZE)
    mute = bundles.write(tmp_path / "bundle", graph=tmp_path / "graph", facts=tiny.facts(), parity=parity)
    assert mute.refusal() == "form fp32: no canaries to watch it by"
    with pytest.raises(BundleError, match="no canaries"):
        Registry("http://127.0.0.1:9").register(mute.path, "run", "name")


def test_native_forms_are_all_asked(bundle: Bundle) -> None:
    assert set(bundle.spec.forms) <= processor.here()
    assert bundle.refusal() is None
