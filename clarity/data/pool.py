"""A function over many items in several processes that can neither hang nor fall with one bad item.

Workers are forked by a server that has imported what they need and runs nothing itself: a fork of the caller would copy
the threads of Prefect, OpenCV or PyTorch in mid-lock, a spawned worker imports for a second. A worker that dies breaks
its pool; its items are then run again one at a time, so that exactly the one that kills is named and the others get
their result.
"""

import atexit
import functools
import itertools
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
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
    server = context(function.__module__)
    pool = _pool(server, jobs)
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
                yield from _one_by_one(server, function, broken)
                pool = _pool(server, jobs)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def context(module: str) -> ForkServerContext:
    """How workers that run functions of ``module`` start; the first call in a process decides what is imported once."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload([module])
    _end_with_process(os.getpid())
    return server


@functools.cache
def _end_with_process(caller: int) -> None:
    """A process that has ended leaves none behind: by itself the server begins to end only then, and takes its time.

    It ends within the process and not after each pool, so that the next need not import again.
    """

    def end() -> None:
        if os.getpid() == caller:  # of a fork of the caller it is no child
            forkserver._forkserver._stop()  # type: ignore[attr-defined]

    atexit.register(end)


def _chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    source = iter(items)
    while batch := list(itertools.islice(source, size)):
        yield batch


def _one_by_one(
    server: ForkServerContext, function: Callable[[Item], Result], items: list[Item]
) -> Iterator[tuple[Item, Result | Died]]:
    pool = _pool(server, 1)
    try:
        for item in items:
            try:
                yield item, pool.submit(_each, function, [item]).result()[0]
            except BrokenProcessPool:
                yield item, Died("the process that read it died")
                pool.shutdown(wait=True)
                pool = _pool(server, 1)
            except (TypeError, AttributeError, _pickle_error()) as error:
                yield item, Died(f"cannot be sent to a worker ({error})")
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _each(function: Callable[[Item], Result], items: list[Item]) -> list[Result]:
    return [function(item) for item in items]


def _pool(server: ForkServerContext, jobs: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(jobs, mp_context=server, initializer=calm)


def calm() -> None:
    """One thread a worker: the workers are the parallelism. And none outlives the caller, whatever ended that."""
    import cv2

    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_caller, daemon=True).start()


def _end_with_caller() -> None:
    caller = multiprocessing.parent_process()
    if caller is not None:
        caller.join()
        os._exit(1)


def _pickle_error() -> type[Any]:
    import pickle

    return pickle.PicklingError
