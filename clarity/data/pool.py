"""A function over many items in several processes that can neither hang nor fall with one bad item.

Processes are spawned (a forked OpenCV or boto3 misbehaves). A worker that dies breaks its pool; its items are then run
again one at a time, so that exactly the one that kills is named and the others get their result.
"""

import itertools
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Died:
    """In place of a result: the process that worked on this item died, or the item could not be sent to it."""

    why: str


def run(
    function: Callable[[Item], Result], items: Iterable[Item], *, jobs: int = 0, chunk: int = 8
) -> Iterator[tuple[Item, Result | Died]]:
    """Each item with its result, in any order; ``function`` and items must pickle. ``jobs`` 0: one a core.

    At most a few chunks are in flight, so memory does not grow with the number of items. What ``function`` raises is
    raised here: it must turn an expected fault into a result.
    """
    jobs = jobs or os.cpu_count() or 1
    chunks = _chunks(items, chunk)
    pool = _pool(jobs)
    flying: dict[Future[list[Result]], list[Item]] = {}
    try:
        while True:
            broken: list[Item] = []
            for ready in itertools.islice(chunks, jobs * 2 - len(flying)):
                try:
                    flying[pool.submit(_each, function, ready)] = ready
                except BrokenProcessPool:
                    broken += ready
            if not flying and not broken:
                return
            done, _ = wait(flying, return_when=FIRST_COMPLETED)
            for future in done:
                batch = flying.pop(future)
                try:
                    yield from zip(batch, future.result(), strict=True)
                except BrokenProcessPool:
                    broken += batch
                except (TypeError, AttributeError, _pickle_error()) as error:
                    if len(batch) == 1:
                        yield batch[0], Died(f"cannot be sent to a worker ({error})")
                    else:
                        broken += batch
            if broken:
                broken += itertools.chain.from_iterable(flying.values())
                flying.clear()
                pool.shutdown(wait=True, cancel_futures=True)
                yield from _one_by_one(function, broken)
                pool = _pool(jobs)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    source = iter(items)
    while batch := list(itertools.islice(source, size)):
        yield batch


def _one_by_one(function: Callable[[Item], Result], items: list[Item]) -> Iterator[tuple[Item, Result | Died]]:
    pool = _pool(1)
    try:
        for item in items:
            try:
                yield item, pool.submit(_each, function, [item]).result()[0]
            except BrokenProcessPool:
                yield item, Died("the process that read it died")
                pool.shutdown(wait=True)
                pool = _pool(1)
            except (TypeError, AttributeError, _pickle_error()) as error:
                yield item, Died(f"cannot be sent to a worker ({error})")
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _each(function: Callable[[Item], Result], items: list[Item]) -> list[Result]:
    return [function(item) for item in items]


def _pool(jobs: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"), initializer=_calm)


def _calm() -> None:
    """One thread a worker: the workers are the parallelism."""
    import cv2

    cv2.setNumThreads(1)


def _pickle_error() -> type[Any]:
    import pickle

    return pickle.PicklingError
