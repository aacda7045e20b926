"""Pages by cursor: how many entries, and a cursor that is none."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import Query

from clarity.errors import ParameterError
from serving.errors import InvalidParameter

Limit = Annotated[
    int | None, Query(ge=1, le=200, description="Entries of a page; ``serving.page_size`` where it is not said.")
]


@contextmanager
def checked() -> Iterator[None]:
    """A cursor that no page gave is the caller's mistake, and not one of the configuration."""
    try:
        yield
    except ParameterError as error:
        raise InvalidParameter(str(error)) from None
