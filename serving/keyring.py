"""The keys that this process has just seen, so that not each request asks PostgreSQL for its key."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from clarity.errors import ClarityError, StorageUnavailable
from clarity.storage.access import Key

FRESH_S, STALE_S = 2.0, 5.0
"""A key seen that recently is not asked for at all; until then it is, while its requests go on. Later they wait.

So a revoked key is refused within 5 s, and one in use outlives a PostgreSQL that is away for 3.
"""
_PATIENCE_S = 5.0
_MOST = 1000


class Keyring:
    """Keys by id. ``look_up`` runs in threads of its own: strangers that try keys hold up nobody else's work."""

    def __init__(self, look_up: Callable[[str], Key | None], clock: Callable[[], float] = time.monotonic) -> None:
        self._look_up = look_up
        self._clock = clock
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="keys")
        self._seen: dict[str, tuple[Key, float]] = {}
        self._asking: dict[str, asyncio.Task[Key | None]] = {}

    async def find(self, id: str) -> Key | None:
        """The key of that id, as it stands now or stood up to 5 s ago. Raises StorageError, SettingsError."""
        key, at = self._seen.get(id, (None, 0.0))
        age = self._clock() - at
        if key is not None and age < STALE_S:
            if age >= FRESH_S:
                self._ask(id)
            return key
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await asyncio.shield(self._ask(id))
        except TimeoutError:
            raise StorageUnavailable(f"PostgreSQL: no answer about a key within {_PATIENCE_S:g} s") from None

    def _ask(self, id: str) -> "asyncio.Task[Key | None]":
        """One question at a time for each key."""
        if id not in self._asking:
            task = self._asking[id] = asyncio.create_task(self._fetch(id))
            task.add_done_callback(lambda done: self._told(id, done))
        return self._asking[id]

    async def _fetch(self, id: str) -> Key | None:
        asked = self._clock()
        key = await asyncio.get_running_loop().run_in_executor(self._threads, self._look_up, id)
        if key is None:
            self._seen.pop(id, None)
        else:
            if len(self._seen) >= _MOST:
                self._seen = {id: seen for id, seen in self._seen.items() if asked - seen[1] < STALE_S}
            self._seen[id] = (key, asked)
        return key

    def _told(self, id: str, done: "asyncio.Task[Key | None]") -> None:
        self._asking.pop(id, None)
        with suppress(ClarityError, asyncio.CancelledError):  # heard by whoever waits; where nobody does, it may pass
            done.result()
