"""How often a key may call: a bucket of tokens each, as many as its requests of a minute, refilled all the time."""

import math
import time
from collections.abc import Callable

from clarity.errors import TooManyRequests


class Rates:
    """The buckets of one process. Keys are few: they are made by hand, and only known ones come here."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._levels: dict[str, tuple[float, float]] = {}
        """By key: tokens, and when they were counted."""

    def take(self, key_id: str, per_minute: int) -> None:
        """Take a token. Raises TooManyRequests, which says after how many seconds there is one again."""
        now = self._clock()
        level, then = self._levels.get(key_id, (float(per_minute), now))
        level = min(float(per_minute), level + (now - then) * per_minute / 60)
        if level < 1:
            self._levels[key_id] = (level, now)
            wait = max(1, math.ceil((1 - level) * 60 / per_minute))
            raise TooManyRequests(f"key {key_id}: more than its {per_minute} requests a minute", retry_after_s=wait)
        self._levels[key_id] = (level - 1, now)
