"""What many tests of a night grade with."""

from collections.abc import Iterator

import pytest

from clarity.inference.bundle import Bundle
from clarity.inference.engine import Engine
from clarity.inference.grader import Grader


@pytest.fixture(scope="session")
def grader(tiny_bundle: Bundle) -> Iterator[Grader]:
    with Grader(tiny_bundle, Engine.load(tiny_bundle, threads=1), "1") as made:
        yield made
