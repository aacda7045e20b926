"""What a bench says: targets that hold or not, medians of sides that take turns, and a page with the machine."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from clarity.bench import page
from clarity.bench.rows import Row, interleaved, machine
from clarity.cli import app
from tests.unit.imaging_files import jpeg, retina


@pytest.mark.parametrize(
    ("value", "target", "more", "holds"),
    [(4.0, 4.0, True, True), (3.9, 4.0, True, False), (0.05, 0.05, False, True), (0.06, 0.05, False, False)],
)
def test_a_row_holds_at_its_target_and_beyond(value: float, target: float, more: bool, holds: bool) -> None:
    assert Row("some.figure", value, "x", target, more_is_better=more).holds is holds


def test_a_row_without_a_target_always_holds() -> None:
    assert Row("some.figure", 0.0, "share", None).holds


def test_the_sides_take_turns_and_each_is_warmed_up_once() -> None:
    calls: list[str] = []
    seconds = interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3)
    assert "".join(calls) == "ab" + "ab" * 3
    assert set(seconds) == {"a", "b"}


def test_the_page_names_every_row_its_verdict_and_the_machine() -> None:
    rows = [Row("one.x", 3.0, "x", 4.0, detail={"ours_ms": 2.0}), Row("two.share", 0.5, "share", None)]
    text = page.markdown(rows, machine())
    assert "| `one.x` | 3 x | ≥ 4 x | **no** | ours_ms 2 |" in text
    assert "| `two.share` | 50% |" in text
    assert f"- processor: {machine()['processor']}" in text


def test_check_ends_with_1_exactly_where_a_row_does_not_hold(tmp_path: Path) -> None:
    told, images = tmp_path / "rows.json", tmp_path / "images"
    images.mkdir()
    for name, data in (("large", jpeg(retina(4000, 2600))), ("one", jpeg(retina(1150, 900)))):
        (images / f"{name}.jpg").write_bytes(data)
    asked = ["bench", "imaging", "--images", str(images), "--repeats", "1", "--check", "--json", str(told)]
    done = CliRunner().invoke(app, asked)
    rows = json.loads(told.read_text())["rows"]
    faster, nearer = rows[:2], rows[2:]
    assert [row["name"] for row in faster] == ["imaging.large", "imaging.one_megapixel"]
    assert all(row["holds"] == (row["value"] >= row["target"]) for row in faster)
    assert all(row["holds"] == (row["value"] <= row["target"]) for row in nearer)
    assert done.exit_code == int(not all(row["holds"] for row in rows))


def test_an_unknown_bench_is_named_with_the_known_ones() -> None:
    said = CliRunner().invoke(app, ["bench", "weather"])
    assert said.exit_code != 0
    assert "bench weather: unknown, one of imaging, inference, screening, training" in str(said.exception)
