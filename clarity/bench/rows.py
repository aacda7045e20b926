"""The form of every figure: interleaved repeats, medians, a target, and whether it holds."""

import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from clarity.inference.processor import cores, instructions


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of a bench. ``name`` is for ever, so that runs can be compared over years."""

    name: str
    value: float
    unit: str
    """"x" (times), "share", "ms", "s", "MB", "grey levels", "answers" or "1/s"."""
    target: float | None
    """None where the figure is reported without a target."""
    more_is_better: bool = True
    detail: Mapping[str, float | str] = field(default_factory=dict)
    """What is behind it, for example both sides' milliseconds an image."""

    @property
    def holds(self) -> bool:
        """Whether the target is reached; a figure without one always holds."""
        if self.target is None:
            return True
        return self.value >= self.target if self.more_is_better else self.value <= self.target

    def plain(self) -> dict[str, object]:
        """For JSON: name, value, unit, target, which side of it is good, holds and the detail."""
        return {
            "name": self.name,
            "value": round(self.value, 4),
            "unit": self.unit,
            "target": self.target,
            "more_is_better": self.more_is_better,
            "holds": self.holds,
            "detail": dict(self.detail),
        }


def interleaved(sides: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of each side. Each is called once untimed; then the sides take turns, so that a machine that slows
    down slows all of them.
    """
    for side in sides.values():
        side()
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, side in sides.items():
            start = time.perf_counter()
            side()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def machine() -> dict[str, str]:
    """What ran it: processor, cores that may be used, instruction sets that matter, system. No host name."""
    matter = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
    flags = instructions()
    return {
        "processor": _processor(),
        "cores": str(cores()),
        "instructions": " ".join(name for name in matter if name in flags) or "none of note",
        "system": f"{platform.system()} {platform.release().split('-')[0]}, Python {platform.python_version()}",
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
