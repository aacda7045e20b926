"""Steps that overlap without growing: each works ahead of the one that takes its results, by so much and no more."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(
    pool: ThreadPoolExecutor, function: Callable[[Item], Result], items: Iterable[Item], *, limit: int
) -> Iterator[Result]:
    """``function`` of each item, in the items' order; at most ``limit`` are in work or done and not yet taken.

    ``items`` may itself be such a step: it is drawn from only as there is room. What ``function`` raises is raised
    where its result would come, and what waits behind it is cancelled.
    """
    flying: deque[Future[Result]] = deque()
    source = iter(items)
    try:
        for item in islice(source, limit):
            flying.append(pool.submit(function, item))
        while flying:
            result = flying.popleft().result()
            for item in islice(source, 1):
                flying.append(pool.submit(function, item))
            yield result
    finally:
        for future in flying:
            future.cancel()


def together(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """The items in lists of ``size``, the last one shorter."""
    source = iter(items)
    while group := list(islice(source, size)):
        yield group


def dwindling(items: Iterable[Item], number: int, most: int, takers: int) -> Iterator[list[Item]]:
    """The ``number`` items in lists of ``most``, halved towards the end: no taker waits long for another."""
    source, size = iter(items), most
    while number > 0:
        while size > 1 and size * 2 * takers > number:
            size //= 2
        yield list(islice(source, size))
        number -= size
