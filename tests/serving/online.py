"""A live service with keys, on a database and a bucket of its own: as apps meet it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from clarity.access import keys
from clarity.inference.bundle import Bundle
from clarity.settings import Settings
from clarity.storage import database
from tests.serving.live import Live, serving

PASSED_ON = ("CLARITY_DATABASE_URL", "CLARITY_S3_", "CLARITY_IDENTITY_KEYS", "CLARITY_SEARCH_KEY")


@dataclass
class Online:
    live: Live
    settings: Settings

    def key(self, *scopes: str, rate: int = 6000) -> str:
        """A new key."""
        engine = database.engine(self.settings.need("database_url"))
        try:
            return keys.make(engine, "test", scopes, rate_per_minute=rate, expires_at=None)[1]
        finally:
            engine.dispose()

    def variables(self, *scopes: str) -> dict[str, str]:
        """What an app finds in its environment."""
        return {"CLARITY_API_URL": self.live.url, "CLARITY_API_KEY": self.key(*scopes)}


@contextmanager
def online(settings: Settings, bundle: Bundle, folder: Path, *arguments: str) -> Iterator[Online]:
    """``settings``: of a database and a bucket of the test's own."""
    own = {name: value for name, value in settings.environment().items() if name.startswith(PASSED_ON)}
    with serving(folder / "home", "--bundle", str(bundle.path), *arguments, open_=False, **own) as live:
        yield Online(live, settings)
