"""What this machine computes in by itself, and OpenVINO without its telemetry.

A precision that a processor has no instructions for still runs: emulated, slower than fp32 and, for int8, with sums
that saturate. So a form is used only where it is native.
"""

import functools
import os
import sys
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

import numpy as np

Precision = Literal["fp32", "bf16", "int8"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "int8")
"""From the slowest to the fastest, where all are native."""
INT8_INSTRUCTIONS = frozenset({"avx512_vnni", "avx_vnni", "avx10_1", "amx_int8"})
_CPUINFO = Path("/proc/cpuinfo")
_FIRST = threading.Lock()


def openvino() -> Any:
    """The package ``openvino``. The only way in which Clarity imports it.

    ``import openvino`` by itself sends an event to Google Analytics and writes an identity to ~/intel. Where
    ``openvino_telemetry`` cannot be imported it takes its own stub instead, and so does NNCF: a screening server calls
    nobody.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


@functools.cache
def core() -> Any:
    """This process's OpenVINO runtime: each further one would load the CPU plugin again.

    Its binding fills a table of types with the first tensor that it makes, behind a guard of C++ and letting go of the
    GIL meanwhile: two threads that make the first ones at once may wait for each other for ever, one with the GIL, one
    with the guard. So the first is made here, by one.
    """
    with _FIRST:
        runtime = openvino()
        _ = runtime.Tensor(np.zeros(1, np.float32), shared_memory=True).data
        return runtime.Core()


os.register_at_fork(before=_FIRST.acquire, after_in_parent=_FIRST.release, after_in_child=_FIRST.release)
os.register_at_fork(after_in_child=core.cache_clear)  # its threads stay with the parent


def native(capabilities: Collection[str], instructions: Collection[str]) -> frozenset[Precision]:
    """The precisions that a CPU computes in by itself.

    ``capabilities`` are OpenVINO's OPTIMIZATION_CAPABILITIES, which name BF16 only where it is native and INT8 always;
    ``instructions`` are the processor's flags, which decide about int8.
    """
    found: set[Precision] = {"fp32"}
    if "BF16" in capabilities:
        found.add("bf16")
    if "INT8" in capabilities and INT8_INSTRUCTIONS & set(instructions):
        found.add("int8")
    return frozenset(found)


def here() -> frozenset[Precision]:
    """``native`` of this machine."""
    return native(core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"), instructions())


def instructions(cpuinfo: Path = _CPUINFO) -> frozenset[str]:
    """The processor's flags as Linux names them; empty where the system does not say."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    flags = next((line for line in lines if line.startswith("flags")), "")
    return frozenset(flags.partition(":")[2].split())


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
