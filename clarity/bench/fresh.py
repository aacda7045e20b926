"""A new process of the kind that screens and serves: how long until its first answer, and how much memory it holds.

``python -m clarity.bench.fresh BUNDLE PHOTOGRAPH PRECISION MODULE`` is that process: it imports what such a process
imports, loads a bundle, grades one photograph with its heatmap, and prints what it holds as JSON.
"""

import importlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from clarity.bench.rows import Row
from clarity.errors import InferenceError

START_S, RESIDENT_MB = 2.0, 600.0
KINDS = {"command": "clarity.cli", "night": "flows.screening_steps", "service": "serving.predict"}
"""What grades: ``clarity predict``, a worker of a night, a worker of the service, each with all that it imports."""
FLOW = "flows.screen"
"""A night in one process has Prefect in it too, which takes a second by itself."""
_MOST, _PATIENCE_S = 3, 120.0


def rows(bundle: Path, photograph: Path, precisions: Sequence[str], repeats: int) -> list[Row]:
    """``inference.start_s``: from the start of the process to its answer, with Python's own start and all imports;
    ``inference.resident_mb``: what it holds then. Of the kind and precision that take most; ``screening.start_s`` is
    that of a night's flow, at its fastest precision. Raises InferenceError where the process fails.
    """
    asked = {f"{kind}_{precision}": (module, precision) for kind, module in KINDS.items() for precision in precisions}
    asked["flow"] = (FLOW, precisions[-1])
    seconds: dict[str, list[float]] = {name: [] for name in asked}
    memory: dict[str, dict[str, float]] = {}
    for _ in range(min(repeats, _MOST)):
        for name, (module, precision) in asked.items():
            started = time.perf_counter()
            memory[name] = _answered(bundle, photograph, precision, module)
            seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    held = {name: figures["resident_mb"] for name, figures in memory.items()}
    peak = max(figures["peak_mb"] for figures in memory.values())
    flow, holds = medians.pop("flow"), held.pop("flow")
    return [
        Row("inference.start_s", max(medians.values()), "s", START_S, more_is_better=False, detail=medians),
        Row(
            "inference.resident_mb",
            max(held.values()),
            "MB",
            RESIDENT_MB,
            more_is_better=False,
            detail=held | {"highest_peak": peak},
        ),
        Row("screening.start_s", flow, "s", None, more_is_better=False, detail={"resident_mb": holds}),
    ]


def _answered(bundle: Path, photograph: Path, precision: str, module: str) -> dict[str, float]:
    command = [sys.executable, "-m", "clarity.bench.fresh", str(bundle), str(photograph), precision, module]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S)
    if done.returncode:
        raise InferenceError(f"fresh process at {precision}: ended with {done.returncode}, {done.stderr[-300:]}")
    said: dict[str, float] = json.loads(done.stdout)
    return said


def _main(bundle: str, photograph: str, precision: str, module: str) -> None:
    importlib.import_module(module)  # by its name: the library itself knows neither flows nor the service
    from clarity.inference import heatmap
    from clarity.inference.bundle import Bundle
    from clarity.inference.engine import Engine
    from clarity.inference.grader import Graded, Grader

    loaded = Bundle.load(Path(bundle))
    with Grader(loaded, Engine.load(loaded, precision=precision), "bench") as grader:  # type: ignore[arg-type]
        (graded,) = grader.grade([Path(photograph).read_bytes()])
    picture = graded.overlay(512) if isinstance(graded, Graded) else None
    if picture is None:
        raise InferenceError(f"{photograph}: not graded, {graded}")
    heatmap.encode(picture)
    _say()


def _say() -> None:
    # The kernel's own account since the program began; getrusage's maximum is also that of whoever started it.
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines())
    named = {"resident_mb": "VmRSS", "peak_mb": "VmHWM"}
    figures = {name: round(int(lines[key].split()[0]) * 1024 / 1e6, 1) for name, key in named.items()}
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    _main(*sys.argv[1:])
