"""What a run of Prefect logs of an error, by Prefect's own loggers."""

import io
import logging
from collections.abc import Iterator

import pytest

from clarity.errors import SourceError
from flows import logs


@pytest.fixture(params=["prefect.flow_runs", "prefect.task_runs"])
def logger(request: pytest.FixtureRequest) -> Iterator[logging.Logger]:
    """Of runs, writing to ``logger.written``."""
    found = logging.getLogger(request.param)
    handler = logging.StreamHandler(io.StringIO())
    before, found.handlers, found.propagate = found.handlers, [handler], False
    yield found
    found.handlers, found.propagate = before, True


def written(logger: logging.Logger) -> str:
    handler = logger.handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    return str(handler.stream.getvalue())


def test_a_named_error_is_one_line(logger: logging.Logger) -> None:
    logs.plain()
    logs.plain()
    try:
        raise SourceError("set: no rows")
    except SourceError as error:
        logger.exception("Encountered exception during execution: %r", error)
    assert written(logger) == "Encountered exception during execution: SourceError('set: no rows')\n"


def test_an_error_that_nobody_foresaw_keeps_its_traceback(logger: logging.Logger) -> None:
    logs.plain()
    try:
        raise ValueError("surprise")
    except ValueError:
        logger.exception("Encountered exception")
    assert "Traceback (most recent call last)" in written(logger)
