"""One bad photograph costs itself alone, and an ungradable one is never "no DR"."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from clarity.errors import ImageTooLarge, InferenceError, UnreadableImage
from clarity.imaging import fingerprint, prepare
from clarity.inference import heatmap
from clarity.inference.abstention import Abstention
from clarity.inference.bundle import Bundle
from clarity.inference.engine import Engine
from clarity.inference.grader import Graded, Grader
from clarity.inference.heatmap import Subject
from clarity.inference.scores import Scores
from clarity.records import Tensor
from tests import tiny

GOOD = [tiny.jpeg(tiny.eye(seed=seed)) for seed in range(3)]
BLANK = tiny.jpeg(np.full((300, 300, 3), 255, np.uint8))


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Bundle) -> Bundle:
    return tiny_bundle


@pytest.fixture(scope="module")
def engine(bundle: Bundle) -> Engine:
    return Engine.load(bundle, threads=1)


@pytest.fixture
def grader(bundle: Bundle, engine: Engine) -> Iterator[Grader]:
    with Grader(bundle, engine, "7") as made:
        yield made


def test_a_photograph_becomes_a_prediction_with_its_lineage(grader: Grader) -> None:
    (graded,) = grader.grade(GOOD[:1])
    assert isinstance(graded, Graded) and graded.prediction is not None
    assert graded.quality.gradable
    assert graded.prediction.model_version == "7"
    assert graded.prediction.fingerprint == fingerprint(tiny.IMAGING)
    assert graded.maps is not None and graded.maps.shape[0] == 5
    assert (cam := graded.cam()) is not None and 0 <= cam.min() <= cam.max() <= 1
    overlay = graded.overlay(256)
    assert overlay is not None and overlay.shape[1] == 256


def test_a_photograph_that_the_model_does_not_know_keeps_its_grade_and_says_why(bundle: Bundle, engine: Engine) -> None:
    strict = bundle.spec.model_copy(update={"abstention": Abstention(margin=1.0, energy=-1e9)})
    with Grader(Bundle(bundle.path, strict, ""), engine, "7") as unsure, Grader(bundle, engine, "7") as sure:
        (one,), (other,) = unsure.grade(GOOD[:1]), sure.grade(GOOD[:1])
    assert isinstance(one, Graded) and isinstance(other, Graded)
    assert one.prediction is not None and other.prediction is not None
    near, strange = one.prediction.review_reasons
    assert near.startswith("referable probability") and strange.startswith("unlike the training photographs")
    assert one.prediction.grade == other.prediction.grade
    assert one.prediction.energy == other.prediction.energy is not None
    assert one.prediction.precision == engine.precision


def test_it_grades_exactly_the_image_that_training_prepares(grader: Grader) -> None:
    (graded,) = grader.grade(GOOD[:1])
    assert isinstance(graded, Graded)
    prepared = prepare(GOOD[0], tiny.IMAGING, tiny.PARAMS.quality)
    np.testing.assert_array_equal(graded.prepared.image, prepared.image)


def test_bad_photographs_among_good_ones_cost_themselves_alone_and_keep_their_places(grader: Grader) -> None:
    mixed = [GOOD[0], b"", GOOD[1], b"a text named .jpg", GOOD[1][: len(GOOD[1]) // 2], tiny.bomb(), BLANK, GOOD[2]]
    results = grader.grade(mixed)
    kinds = [type(result) for result in results]
    assert kinds == [Graded, UnreadableImage, Graded, UnreadableImage, UnreadableImage, ImageTooLarge, Graded, Graded]
    alone = [grader.grade([photograph])[0] for photograph in GOOD]
    for found, wanted in zip((results[0], results[2], results[7]), alone, strict=True):
        assert isinstance(found, Graded) and isinstance(wanted, Graded)
        assert found.prediction is not None and wanted.prediction is not None
        assert found.prediction.grade == wanted.prediction.grade
        np.testing.assert_allclose(found.prediction.probabilities, wanted.prediction.probabilities, atol=1e-6)


def test_an_ungradable_photograph_has_reasons_and_no_grade_and_no_heatmap(grader: Grader) -> None:
    (graded,) = grader.grade([BLANK])
    assert isinstance(graded, Graded)
    assert graded.prediction is None and graded.maps is None and graded.cam() is None and graded.overlay() is None
    assert not graded.quality.gradable and graded.quality.reasons


def test_the_heatmap_explains_what_the_caller_asks_for_and_its_legend_says_so(grader: Grader) -> None:
    (graded,) = grader.grade(GOOD[:1])
    assert isinstance(graded, Graded) and graded.prediction is not None and graded.maps is not None
    for wanted in (*range(5), "referable"):
        subject: Subject = wanted  # type: ignore[assignment]
        np.testing.assert_array_equal(graded.cam(subject), heatmap.heatmap(graded.maps, subject))
    np.testing.assert_array_equal(graded.overlay(224), graded.overlay(224, graded.prediction.grade))
    legends = {np.asarray(graded.overlay(512, grade))[512:].tobytes() for grade in (*range(5), "referable")}  # type: ignore[arg-type]
    assert len(legends) == 6
    with pytest.raises(InferenceError, match="ICDR grade"):
        graded.overlay(224, 5)


def test_no_photographs_give_no_results(grader: Grader) -> None:
    assert grader.grade([]) == []


class Failing(Engine):
    """A real engine that refuses every batch in which a photograph is marked by a very bright first pixel."""

    def __init__(self, inner: Engine) -> None:
        self.inner, self.precision = inner, inner.precision
        self.sizes: list[int] = []

    def run(self, tensor: Tensor) -> Scores:
        self.sizes.append(len(tensor))
        if (tensor[:, 0].mean(axis=(1, 2)) < self.limit).any():
            raise InferenceError("logits (1, 5): hold NaN or infinity, no grade can be given")
        return self.inner.run(tensor)

    limit = -np.inf


def test_a_photograph_of_which_the_network_makes_no_sense_costs_itself_alone(bundle: Bundle, engine: Engine) -> None:
    failing = Failing(engine)
    dark = tiny.jpeg((tiny.eye(seed=4) * 0.8).astype(np.uint8))
    with Grader(bundle, failing, "7") as grader:
        tensors = [grader.grade([one])[0] for one in (*GOOD, dark)]
        assert all(isinstance(one, Graded) and one.prediction for one in tensors)
        failing.limit = _between(failing, [*GOOD, dark])
        failing.sizes.clear()
        results = grader.grade([GOOD[0], dark, GOOD[1]])
    assert isinstance(results[1], InferenceError)
    assert all(isinstance(results[i], Graded) and results[i].prediction for i in (0, 2))  # type: ignore[union-attr]
    assert failing.sizes == [3, 1, 1, 1]


def _between(engine: Failing, photographs: list[bytes]) -> float:
    from clarity.imaging import to_tensor

    means = [
        float(to_tensor(prepare(one, tiny.IMAGING, tiny.PARAMS.quality).image)[:, 0].mean()) for one in photographs
    ]
    assert means[-1] < min(means[:-1])
    return (means[-1] + min(means[:-1])) / 2


def test_real_photographs_are_graded_one_by_one_as_in_a_batch(fundus: Path, grader: Grader) -> None:
    files = sorted((fundus / "eyepacs/train").glob("10*.jpeg"))[:6]
    results = grader.grade([file.read_bytes() for file in files])
    assert len(results) == 6
    assert sum(isinstance(result, Graded) and result.prediction is not None for result in results) >= 4
