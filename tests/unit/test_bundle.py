"""A bundle is whole and its own, or it is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from clarity.errors import BundleError
from clarity.imaging import fingerprint
from clarity.inference import bundle, card, environment, spec
from clarity.inference.bundle import Bundle
from tests import tiny


@pytest.fixture(scope="module")
def written(tiny_bundle: Bundle) -> Path:
    return tiny_bundle.path


@pytest.fixture
def copy(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "bundle"))


def change(folder: Path, **values: Any) -> None:
    said = json.loads((folder / spec.NAME).read_text())
    (folder / spec.NAME).write_text(json.dumps(said | values))


def test_what_was_written_is_what_is_read(written: Path) -> None:
    read = Bundle.load(written)
    assert spec.Facts.model_validate({key: value for key, value in read.spec if key in spec.Facts.model_fields}) == (
        tiny.facts(created_at=read.spec.created_at)
    )
    assert read.spec.fingerprint == fingerprint(tiny.IMAGING)
    assert set(read.spec.files) == {path.name for path in written.iterdir()} - {spec.NAME}
    assert read.spec.environment["torch"]
    assert f"torch=={read.spec.environment['torch']}\n" in (written / environment.NAME).read_text()
    assert set(load_file(written / "weights.safetensors")) == set(tiny.TinyNetwork().state_dict())


def test_its_digest_is_the_identity_of_the_whole(written: Path, copy: Path) -> None:
    assert Bundle.load(written).digest == Bundle.load(copy).digest
    change(copy, temperature=1.6)
    assert Bundle.load(copy).digest != Bundle.load(written).digest


def test_the_card_says_what_clarity_is_not_and_how_sure_it_is(written: Path) -> None:
    text = Bundle.load(written).card
    for needed in (
        "not a medical device",
        "decision support in development",
        "Macular oedema is not assessed",
        "its weights are random",
        "| qwk | 0.100 | -0.100 to 0.300 | 40 |",
        "unversioned",
    ):
        assert needed in text


def test_the_card_says_when_it_hands_over(written: Path) -> None:
    text = Bundle.load(written).card
    assert "Hands over to a person within 0.03 of the referable probability's threshold" in text
    assert "where the photograph's energy is above 5; the grade stays" in text
    shown = card.card(tiny.facts(selective={"coverage": {"value": 0.9, "low": 0.8, "high": 0.95, "n": 40}}), "f", {})
    assert "| coverage | 0.900 | 0.800 to 0.950 | 40 |" in shown
    assert "Never hands over to a person by itself" in card.card(tiny.facts(abstention=None), "f", {})


def test_a_card_without_metrics_says_so() -> None:
    assert "Not evaluated" in card.card(tiny.facts(metrics={}), "f" * 16, {})


@pytest.mark.parametrize("name", ["model.xml", "model.bin", "model.onnx", "card.md", "environment.txt"])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(BundleError, match=rf"{name}: No such file.*incomplete"):
        Bundle.load(copy)


@pytest.mark.parametrize("name", ["model.bin", "model.xml", "card.md"])
def test_one_changed_byte_is_named(copy: Path, name: str) -> None:
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(BundleError, match=rf"{name}: sha256 .* altered"):
        Bundle.load(copy)


def test_a_bundle_of_another_imaging_chain_is_refused(copy: Path) -> None:
    change(copy, fingerprint="0123456789abcdef")
    with pytest.raises(BundleError, match="imaging fingerprint 0123456789abcdef, this code prepares"):
        Bundle.load(copy)


def test_changed_imaging_parameters_are_refused(copy: Path) -> None:
    change(copy, imaging=tiny.IMAGING.model_dump() | {"clahe_clip_limit": 3.5})
    with pytest.raises(BundleError, match="imaging fingerprint"):
        Bundle.load(copy)


def test_an_unknown_format_is_refused_before_anything_else_is_read(copy: Path) -> None:
    (copy / spec.NAME).write_text('{"format": 99, "something": "new"}')
    with pytest.raises(BundleError, match="format 99, this version of Clarity reads format 3"):
        Bundle.load(copy)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"surprise": 1}, "surprise"),
        ({"temperature": 0}, "temperature"),
        ({"thresholds": {"referable": 1.5, "vision_threatening": 0.3}}, "thresholds.referable"),
        ({"classes": ["a", "b", "c", "d", "e"]}, "five ICDR grades"),
        ({"decision": "guess"}, "decision"),
        ({"files": {"../../outside": "00"}}, "not a plain file name"),
        ({"abstention": {"margin": -0.1, "energy": 3.0}}, "abstention.margin"),
        ({"abstention": {"margin": 0.1, "energy": "high"}}, "abstention.energy"),
        ({"reference": {"quality": {"labels": ["a"], "counts": [1, 2], "patients": 3}}}, "reference.quality"),
        ({"canaries": [{"file": "../x", "drawn_grade": 0, "drawn_gradable": True, "expected": {}}]}, "not a file of"),
    ],
)
def test_a_malformed_specification_is_refused_and_the_key_named(copy: Path, values: dict[str, Any], said: str) -> None:
    change(copy, **values)
    with pytest.raises(BundleError, match=said):
        Bundle.load(copy)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '"text"', "\x00"])
def test_a_specification_that_is_not_a_json_table_is_refused(copy: Path, content: str) -> None:
    (copy / spec.NAME).write_text(content)
    with pytest.raises(BundleError, match=r"bundle\.json"):
        Bundle.load(copy)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="not a bundle"):
        Bundle.load(tmp_path / "nowhere")


def test_a_precision_that_the_bundle_lacks_is_named(written: Path) -> None:
    with pytest.raises(BundleError, match="precision int8, the bundle has only fp32"):
        Bundle.load(written).form("int8")


def test_an_incomplete_graph_leaves_the_earlier_bundle_as_it_was(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "graph").mkdir()
    before = Bundle.load(copy).digest
    with pytest.raises(BundleError, match=r"model\.onnx: missing"):
        bundle.write(copy, graph=tmp_path / "graph", facts=tiny.facts())
    assert Bundle.load(copy).digest == before
    assert {path.name for path in tmp_path.iterdir()} == {"bundle", "graph"}
