"""Room for photographs in memory: so many bytes at once, whoever holds them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Room:
    """Threads wait for each other's bytes; one thing that is larger than all of it goes alone."""

    def __init__(self, size: int) -> None:
        self._size, self._taken = size, 0
        self._freed = threading.Condition()

    @contextmanager
    def of(self, size: int) -> Iterator[None]:
        """Holds ``size`` bytes until left; waits until there is room for them."""
        with self._freed:
            self._freed.wait_for(lambda: self._taken == 0 or self._taken + size <= self._size)
            self._taken += size
        try:
            yield
        finally:
            with self._freed:
                self._taken -= size
                self._freed.notify_all()
