"""OpenCV's threads, for callers whose own are the parallelism: more than one a core only wait for each other."""

from collections.abc import Iterator
from contextlib import contextmanager

import cv2


@contextmanager
def calling_thread_alone() -> Iterator[None]:
    """In the block OpenCV computes in the thread that calls it; the process has one such number, so for all of it."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
