"""OpenCV's threads, for callers whose own are the parallelism: more than one a core only wait for each other."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import cv2

_LOCK = Lock()
_FOUND: list[int] = []
"""What each of those inside found. Whoever leaves last takes the first: the order of leaving does not matter."""


@contextmanager
def calling_thread_alone() -> Iterator[None]:
    """In the block OpenCV computes in the thread that calls it; the process has one such number, so for all of it.

    Blocks of several threads may overlap: after the last the number is what it was before the first.
    """
    with _LOCK:
        _FOUND.append(cv2.getNumThreads())
        cv2.setNumThreads(1)
    try:
        yield
    finally:
        with _LOCK:
            cv2.setNumThreads(_FOUND.pop())
