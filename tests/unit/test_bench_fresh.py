"""The bench of a fresh process measures a real one; the loop of FMAs really multiplies."""

import time
from pathlib import Path

import pytest

from clarity.bench import fresh
from clarity.errors import InferenceError
from clarity.inference.bundle import Bundle
from tests import tiny


def test_a_fresh_process_answers_and_says_what_it_holds(tiny_bundle: Bundle, tmp_path: Path) -> None:
    photograph = tmp_path / "eye.jpg"
    photograph.write_bytes(tiny.jpeg(tiny.eye()))
    started = time.perf_counter()
    start, resident, flow = fresh.rows(tiny_bundle.path, photograph, ["fp32"], 1)
    took = time.perf_counter() - started
    assert (start.name, start.target, resident.name, resident.target) == (
        "inference.start_s", 2.0, "inference.resident_mb", 600.0,
    )  # fmt: skip
    assert 0.1 < start.value < took and not start.more_is_better
    assert start.detail.keys() == {"command_fp32", "night_fp32", "service_fp32"}
    assert 50 < resident.value <= float(resident.detail["highest_peak"]) + 1 and not resident.more_is_better
    assert (flow.name, flow.target) == ("screening.start_s", None)
    assert float(flow.detail["resident_mb"]) > float(resident.detail["command_fp32"]) + 20, "it has Prefect in it"


def test_a_process_that_fails_is_not_measured(tiny_bundle: Bundle, tmp_path: Path) -> None:
    photograph = tmp_path / "letter.jpg"
    photograph.write_text("Dear doctor")
    with pytest.raises(InferenceError, match="fresh process at fp32: ended with 1"):
        fresh.rows(tiny_bundle.path, photograph, ["fp32"], 1)


def test_the_loop_of_multiplications_does_all_of_them() -> None:
    pytest.importorskip("llvmlite", reason="llvmlite: not installed (clarity[bench])")
    from clarity.bench import fma

    run = fma.loop(0.5, 2)
    _, sums = run()  # type: ignore[misc]
    assert all(value == 2.0 for target in sums for value in target), "s = s/2 + 1, often"
    seconds = []
    for gflop in (0.5, 5.0):
        run = fma.loop(gflop, 2)
        run()
        best = 1e9
        for _ in range(3):
            started = time.perf_counter()
            run()
            best = min(best, time.perf_counter() - started)
        seconds.append(best)
    assert seconds[1] > 3 * seconds[0], "ten times the work takes as long: nothing is computed"
