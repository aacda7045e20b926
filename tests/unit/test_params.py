from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from clarity import params
from clarity.errors import ParameterError

CONF = Path(__file__).resolve().parents[2] / "conf"
FULL = CONF / "pipeline.yaml"


def write(folder: Path, text: str) -> Path:
    file = folder / "over.yaml"
    file.write_text(text)
    return file


@pytest.mark.parametrize("overlay", sorted(p.name for p in CONF.glob("*.yaml") if p.name != "pipeline.yaml"))
def test_every_overlay_lies_on_the_configuration_and_changes_something(overlay: str) -> None:
    assert params.load(FULL, CONF / overlay) != params.load(FULL)


def test_an_unknown_key_is_refused_with_the_nearest_known_name(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"train\.epocs: unknown key, did you mean train\.epochs\?"):
        params.load(FULL, write(tmp_path, "train: {epocs: 3}"))


def test_an_unknown_section_is_refused_with_the_nearest_known_name(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="imagin: unknown key, did you mean imaging"):
        params.load(FULL, write(tmp_path, "imagin: {size: 3}"))


def test_a_value_out_of_range_is_named_with_its_value(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"split\.test: 1\.5, "):
        params.load(FULL, write(tmp_path, "split: {test: 1.5}"))


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    lacking = {name: section for name, section in params.read(FULL).items() if name != "imaging"}
    with pytest.raises(ParameterError, match="imaging: missing"):
        params.load(write(tmp_path, yaml.safe_dump(lacking)))


def test_an_overlay_alone_is_refused_with_what_belongs_before_it() -> None:
    with pytest.raises(ParameterError, match=r"photographs\.yaml: no ingest, .* name conf/pipeline\.yaml before it"):
        params.load(CONF / "photographs.yaml")


@pytest.mark.parametrize(("text", "said"), [("[1]", "list, not a table"), ("a: [", "not YAML")])
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        params.load(write(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"none\.yaml: No such file"):
        params.load(tmp_path / "none.yaml")


def test_dumped_parameters_load_as_the_same(tmp_path: Path) -> None:
    loaded = params.load(FULL)
    assert params.load(write(tmp_path, params.dump(loaded))) == loaded


def test_no_number_hides_in_the_code_as_a_default() -> None:
    def defaults(model: type[BaseModel]) -> list[str]:
        return [name for name, info in model.model_fields.items() if not info.is_required()]

    sections = [info.annotation for info in params.Params.model_fields.values()]
    assert [d for s in sections for d in defaults(s)] == []  # type: ignore[arg-type]


def test_the_file_holds_every_section_once() -> None:
    assert set(yaml.safe_load(FULL.read_text())) == set(params.Params.model_fields)
