"""The registry and the ledger's database together: what every promotion needs, opened once and closed after it."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine

from clarity.registry.models import Registry
from clarity.settings import Settings
from clarity.storage import database


@contextmanager
def opened(settings: Settings) -> Iterator[tuple[Registry, Engine]]:
    """The model registry at MLflow and an engine of PostgreSQL; nothing connects before it is used.

    Raises SettingsError where an address is missing.
    """
    engine = database.engine(settings.need("database_url"), pool_size=2)
    try:
        yield Registry(settings.need("mlflow_tracking_uri")), engine
    finally:
        engine.dispose()
