"""What a processor computes in natively, and that asking it calls nobody."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from clarity.inference import processor

ALL = ("BF16", "FP32", "INT8", "EXPORT_IMPORT")


@pytest.mark.parametrize(
    ("capabilities", "flags", "expected"),
    [
        (ALL, {"avx512f", "avx512_vnni"}, {"fp32", "bf16", "int8"}),
        (ALL, {"avx2", "avx_vnni"}, {"fp32", "bf16", "int8"}),
        (("FP32", "INT8"), {"avx2"}, {"fp32"}),
        (("FP32", "INT8"), {"avx512f", "avx512_vnni"}, {"fp32", "int8"}),
        (("FP32",), set(), {"fp32"}),
    ],
)
def test_int8_needs_its_instructions_and_bf16_openvinos_word(
    capabilities: tuple[str, ...], flags: set[str], expected: set[str]
) -> None:
    assert processor.native(capabilities, flags) == expected


def test_flags_are_those_of_the_first_core_and_none_where_the_system_does_not_say(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("model name\t: x\nflags\t\t: fpu avx512_vnni\n\nflags\t\t: fpu\n")
    assert processor.instructions(tmp_path / "cpuinfo") == {"fpu", "avx512_vnni"}
    assert processor.instructions(tmp_path / "absent") == frozenset()


@pytest.mark.parametrize("module", ["clarity.inference.processor", "clarity.training.quantise"])
def test_neither_openvino_nor_nncf_sends_telemetry(tmp_path: Path, module: str) -> None:
    """By themselves they write an identity below the home folder and send events with it."""
    program = f"""
import logging, sys
import {module} as used
used._nncf() if hasattr(used, "_nncf") else used.openvino()
assert sys.modules["openvino_telemetry"] is None
assert logging.getLoggerClass() is logging.Logger
from openvino.tools import ovc
assert "stub" in ovc.telemetry.__class__.__module__, ovc.telemetry
"""
    environment = {key: value for key, value in os.environ.items() if key not in ("CI", "TF_BUILD", "JENKINS_URL")}
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, env=environment | {"HOME": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "intel").exists()


def test_every_import_of_openvino_goes_through_the_one_that_is_silent() -> None:
    project = Path(__file__).resolve().parents[2]
    sources = [path for folder in ("clarity", "flows", "serving") for path in (project / folder).rglob("*.py")]
    imports = re.compile(r"^\s*(import|from) openvino\b", re.MULTILINE)
    assert [path.name for path in sources if imports.search(path.read_text())] == ["processor.py"]
