"""Which keys are asked for, and how long what was heard counts."""

import asyncio

import pytest

from clarity.errors import StorageUnavailable
from clarity.storage.access import Key
from serving.keyring import FRESH_S, STALE_S, Keyring

KEY = Key("0" * 12, "camera", "0" * 64, ("read",), 60)


class Store:
    """A fake of the table and of the clock."""

    def __init__(self) -> None:
        self.now, self.asked, self.key, self.away = 0.0, 0, KEY, False

    def look_up(self, id: str) -> Key | None:
        self.asked += 1
        if self.away:
            raise StorageUnavailable("PostgreSQL: away")
        return self.key if id == KEY.id else None

    def ring(self) -> Keyring:
        return Keyring(self.look_up, lambda: self.now)


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0.01)


def test_a_key_just_seen_is_not_asked_for() -> None:
    async def story(store: Store) -> None:
        ring = store.ring()
        for _ in range(5):
            assert await ring.find(KEY.id) == KEY
        assert store.asked == 1

    asyncio.run(story(Store()))


def test_many_at_once_ask_once() -> None:
    async def story(store: Store) -> None:
        ring = store.ring()
        assert await asyncio.gather(*(ring.find(KEY.id) for _ in range(20))) == [KEY] * 20
        assert store.asked == 1

    asyncio.run(story(Store()))


def test_a_revocation_is_heard_within_five_seconds_though_nobody_waits_for_it() -> None:
    async def story(store: Store) -> None:
        ring = store.ring()
        await ring.find(KEY.id)
        store.key = None  # type: ignore[assignment]
        store.now += FRESH_S
        assert await ring.find(KEY.id) == KEY, "while it is asked for"
        await settled()
        assert await ring.find(KEY.id) is None
        assert STALE_S <= 5

    asyncio.run(story(Store()))


def test_a_key_in_use_outlives_a_database_that_is_away_and_not_for_long() -> None:
    async def story(store: Store) -> None:
        ring = store.ring()
        await ring.find(KEY.id)
        store.away = True
        for _ in range(4):
            store.now += 1.2
            assert await ring.find(KEY.id) == KEY
            await settled()
        store.now += 1.2
        with pytest.raises(StorageUnavailable):
            await ring.find(KEY.id)
        store.away = False
        assert await ring.find(KEY.id) == KEY

    asyncio.run(story(Store()))


def test_unknown_ids_are_not_kept() -> None:
    async def story(store: Store) -> None:
        ring = store.ring()
        for number in range(50):
            assert await ring.find(f"{number:012x}"[:11] + "f") is None
        assert not ring._seen and not ring._asking

    asyncio.run(story(Store()))
