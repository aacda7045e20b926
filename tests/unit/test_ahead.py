"""Steps that work ahead of each other: in order, bounded, and honest about what fails."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clarity.screening.ahead import ahead, dwindling, together


@settings(max_examples=30)
@given(st.lists(st.integers(), max_size=40), st.integers(1, 9), st.integers(1, 4))
def test_results_come_in_the_items_order_whatever_the_limits(items: list[int], limit: int, threads: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        assert list(ahead(pool, lambda item: item * 2, items, limit=limit)) == [item * 2 for item in items]


def test_no_more_is_drawn_than_the_limit_ahead_of_what_was_taken() -> None:
    drawn = 0

    def source() -> Iterator[int]:
        nonlocal drawn
        for number in range(100):
            drawn += 1
            yield number

    with ThreadPoolExecutor(4) as pool:
        step = ahead(pool, lambda item: item, source(), limit=5)
        for taken in range(1, 20):
            next(step)
            assert drawn <= taken + 5
        step.close()


def test_a_step_works_while_the_next_one_is_busy() -> None:
    started = threading.Event()

    def second(item: int) -> int:
        if item == 1:
            started.set()
        return item

    with ThreadPoolExecutor(2) as pool:
        step = ahead(pool, second, [0, 1, 2], limit=2)
        assert next(step) == 0
        assert started.wait(5)  # nobody asked for it yet
        assert list(step) == [1, 2]


def test_an_error_comes_where_its_result_would_and_what_waits_is_dropped() -> None:
    def fails(item: int) -> int:
        if item == 3:
            raise ValueError("three")
        return item

    with ThreadPoolExecutor(1) as pool:
        step, seen = ahead(pool, fails, range(10), limit=4), []
        with pytest.raises(ValueError, match="three"):
            for item in step:
                seen.append(item)
    assert seen == [0, 1, 2]


def test_steps_chain_and_groups_keep_the_order() -> None:
    with ThreadPoolExecutor(2) as one, ThreadPoolExecutor(2) as two:
        first = ahead(one, lambda item: item + 1, range(10), limit=3)
        second = ahead(two, sum, together(first, 4), limit=2)
        assert list(second) == [1 + 2 + 3 + 4, 5 + 6 + 7 + 8, 9 + 10]


@given(number=st.integers(0, 100), most=st.integers(1, 8), takers=st.integers(1, 5))
def test_dwindling_lists_hold_every_item_once_in_order(number: int, most: int, takers: int) -> None:
    lists = list(dwindling(range(number), number, most, takers))
    assert [item for one in lists for item in one] == list(range(number))
    assert all(1 <= len(one) <= most for one in lists)


def test_lists_dwindle_so_that_all_takers_end_together_and_few_items_go_to_all_of_them() -> None:
    assert [len(one) for one in dwindling(range(24), 24, 4, 2)] == [4, 4, 4, 2, 2, 2, 1, 1, 1, 1, 1, 1]
    assert [len(one) for one in dwindling(range(4), 4, 4, 2)] == [1, 1, 1, 1]
