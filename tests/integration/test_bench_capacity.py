"""The bench of a night at full size: real servers, photographs of more than ten megapixels, overlays as nights draw."""

from pathlib import Path

import pytest

from clarity.bench import capacity, screening
from clarity.inference.bundle import Bundle
from tests import tiny


def test_it_says_how_near_a_million_a_night_is_what_each_step_costs_and_which_costs_most(
    tiny_bundle: Bundle, tmp_path: Path
) -> None:
    for seed in range(2):
        (tmp_path / f"{seed}.jpg").write_bytes(tiny.jpeg(tiny.eye(4000, 2600, seed=seed)))
    (tmp_path / "small.jpg").write_bytes(tiny.jpeg(tiny.eye(400, 300)))
    (row,) = capacity.rows(tiny_bundle, "fp32", tmp_path, 1)
    assert (row.name, row.unit, row.target) == ("screening.night", "1/s", None)
    said = row.detail
    assert (said["captures"], said["origin"], said["overlay_px"]) == (2, tmp_path.name, "512")
    assert row.value / float(said["share_of_a_million"]) == pytest.approx(34.72, abs=0.01)
    steps = {name: float(said[name]) for name in said if name.endswith("_ms")}
    assert steps.keys() == {"prepare_ms", "network_ms", "overlay_ms", "rest_ms", "servers_ms"}
    assert min(steps["prepare_ms"], steps["overlay_ms"]) > 1
    assert said["bound_by"] == max(steps, key=steps.__getitem__).removesuffix("_ms")


def test_a_processor_with_neither_fast_precision_is_measured_in_float32() -> None:
    assert screening.precisions({"fp32", "bf16", "int8"}) == ["bf16", "int8"]
    assert screening.precisions({"fp32", "int8"}) == ["int8"]
    assert screening.precisions({"fp32"}) == ["fp32"]
