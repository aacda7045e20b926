"""A champion that the service refused, in the ledger: one row, whoever of its workers comes first."""

import logging
import platform
import threading
import time
import zlib
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from clarity.errors import ClarityError
from clarity.settings import Settings

log = logging.getLogger("clarity.serving")
_TRIES = 8
_FIRST_PAUSE_S = 2.0


def tell(settings: Settings, model: str, version: str, reason: str) -> None:
    """Write it in the background, by a child process: the worker has no use for a database. Tries again for minutes."""
    if settings.database_url is not None:
        thread = threading.Thread(target=_persist, args=(settings, model, version, reason), daemon=True)
        thread.start()


def write(settings: Settings, model: str, version: str, reason: str) -> bool:
    """Write the row unless this machine's service has said so since the version was last promoted.

    True where it was written. Raises StorageError.
    """
    from sqlalchemy import text

    from clarity.registry import ledger, promotion
    from clarity.registry.models import Registry
    from clarity.storage import database

    actor = f"serving {platform.node()}"
    engine = database.engine(settings.need("database_url"))
    registry = Registry(settings.need("mlflow_tracking_uri"))
    try:
        with database.connection(engine) as link:  # one worker at a time
            key = zlib.crc32(f"refusal of {model}".encode())
            link.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})
            rows = [entry for entry in ledger.history(engine, model) if entry.version == version]
            if rows and (rows[-1].action, rows[-1].actor) == ("refused", actor):
                return False
            promotion.refuse(registry, engine, registry.get(model, version), actor=actor, reasons=[reason])
            return True
    finally:
        engine.dispose()


def _persist(settings: Settings, model: str, version: str, reason: str) -> None:
    for attempt in range(_TRIES):
        try:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                pool.submit(write, settings, model, version, reason).result()
            return
        except (ClarityError, RuntimeError) as error:
            log.warning("refusal of version %s: not in the ledger yet, %s", version, error)
            time.sleep(_FIRST_PAUSE_S * 2**attempt)
