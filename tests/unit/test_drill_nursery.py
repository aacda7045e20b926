"""Where a drill's nights come from: real processes, which here read a configuration and do not come further."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from clarity.drill.nursery import Night, Nursery
from clarity.errors import DrillError
from tests.conftest import PROJECT

PATIENCE_S = 60.0
REPAIR = ("clarity", "screen", "--repair", "--config")
"""Reads its configuration before it asks anything of Prefect: a night would first start a server that outlives it."""


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    made = Nursery(os.environ, PROJECT, tmp_path / "nights.log")
    yield made
    made.close()


@pytest.fixture
def endless(tmp_path: Path) -> str:
    """A configuration that a night reads until it is killed: nobody writes it."""
    os.mkfifo(tmp_path / "endless.yaml")
    return str(tmp_path / "endless.yaml")


def test_each_night_tells_its_own_end_and_what_runs_when_the_nursery_is_closed_is_killed(
    nursery: Nursery, endless: str, tmp_path: Path
) -> None:
    killed, running = nursery.start(*REPAIR, endless), nursery.start(*REPAIR, endless)
    failing = nursery.start(*REPAIR, str(tmp_path / "none.yaml"))
    assert failing.wait(PATIENCE_S) == 1
    assert killed.poll() is None
    killed.kill()
    assert killed.wait(PATIENCE_S) == -signal.SIGKILL
    assert running.poll() is None
    nursery.close()
    assert running.poll() == -signal.SIGKILL


def test_a_night_that_has_just_ended_may_be_killed() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    Night(process.pid).kill()


def test_nights_end_with_their_nursery_and_then_there_are_no_more(nursery: Nursery, endless: str) -> None:
    night = nursery.start(*REPAIR, endless)
    psutil.Process(night.pid).parent().kill()
    assert night.wait(PATIENCE_S) == -signal.SIGKILL
    with pytest.raises(DrillError, match="not begun"):
        nursery.start(*REPAIR, endless)
