"""The bucket of tokens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarity.access.rate import Rates
from clarity.errors import TooManyRequests


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_after_a_minutes_requests_the_next_waits_as_long_as_it_is_told() -> None:
    clock = Clock()
    rates = Rates(clock)
    for _ in range(30):
        rates.take("a", 30)
    with pytest.raises(TooManyRequests, match="key a: more than its 30 requests a minute") as refused:
        rates.take("a", 30)
    assert refused.value.retry_after_s == 2
    clock.now += refused.value.retry_after_s
    rates.take("a", 30)
    with pytest.raises(TooManyRequests):
        rates.take("a", 30)


def test_keys_have_buckets_of_their_own() -> None:
    rates = Rates(Clock())
    rates.take("a", 1)
    rates.take("b", 1)
    with pytest.raises(TooManyRequests):
        rates.take("a", 1)


@given(per_minute=st.integers(1, 120), waits=st.lists(st.floats(0, 5), max_size=300))
def test_no_minute_takes_more_than_twice_the_rate(per_minute: int, waits: list[float]) -> None:
    clock, taken = Clock(), []
    rates = Rates(clock)
    for wait in waits:
        clock.now += wait
        try:
            rates.take("a", per_minute)
            taken.append(clock.now)
        except TooManyRequests as refused:
            assert refused.retry_after_s >= 1
    for start in taken:
        assert sum(start <= at < start + 60 for at in taken) <= 2 * per_minute
