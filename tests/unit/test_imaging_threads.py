"""OpenCV's threads while a caller's own are the parallelism."""

from collections.abc import Iterator

import cv2
import pytest

from clarity.imaging.threads import calling_thread_alone


@pytest.fixture(autouse=True)
def two() -> Iterator[None]:
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    yield
    cv2.setNumThreads(before)


def test_in_the_block_opencv_has_one_thread_and_afterwards_as_many_as_before() -> None:
    with calling_thread_alone():
        assert cv2.getNumThreads() == 1
    assert cv2.getNumThreads() == 2


def test_a_block_that_fails_leaves_them_as_they_were_too() -> None:
    with pytest.raises(ValueError, match="broken"), calling_thread_alone():
        raise ValueError("broken")
    assert cv2.getNumThreads() == 2


def test_blocks_that_overlap_keep_one_thread_to_the_last_and_give_back_what_was() -> None:
    first, second = calling_thread_alone(), calling_thread_alone()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert cv2.getNumThreads() == 1
    second.__exit__(None, None, None)
    assert cv2.getNumThreads() == 2
