"""PostgreSQL: engines, transactions whose errors are named, and migrations.

Any server by URL, over TCP (``postgresql://user:secret@host:5432/clarity``) or a unix socket
(``postgresql://user@/clarity?host=/run/postgresql``).
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from clarity.errors import StorageError, StorageUnavailable

if TYPE_CHECKING:
    from alembic.config import Config

_MIGRATIONS = Path(__file__).parent / "migrations"
_UPGRADE_LOCK = 0x0C1A_2117


def engine(url: str, *, pool_size: int = 5) -> Engine:
    """A lazy engine of psycopg 3; sessions speak UTC. Make one a process, after any fork; nothing connects here.

    Raises StorageError where the URL is not a PostgreSQL URL; its text is not repeated, as it may hold a password.
    """
    return create_engine(
        _url(url),
        pool_size=pool_size,
        pool_pre_ping=True,
        hide_parameters=True,  # of a statement that fails: they may say who a patient is
        connect_args={
            "connect_timeout": 10,
            "application_name": "clarity",
            "options": "-c timezone=UTC",
            "keepalives_idle": 60,
        },
    )


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the tables to ``revision``. Harmless when they are there; two at once wait for each other.

    Raises StorageError.
    """
    from alembic import command  # a third of a second, and only who migrates needs it

    made = engine(url, pool_size=1)
    try:
        with connection(made) as link:
            link.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
            command.upgrade(alembic_config(link), revision)
    finally:
        made.dispose()


def alembic_config(link: Connection) -> "Config":
    """Alembic's configuration for an open connection; ``script_location`` is beside this module, wherever that is."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = link
    return config


@contextmanager
def connection(engine: Engine) -> Iterator[Connection]:
    """One transaction on a plain connection; committed at the end, rolled back on an error.

    Raises StorageUnavailable where the server cannot be reached, StorageError where it refuses.
    """
    with named_errors(engine), engine.begin() as link:
        yield link


@contextmanager
def session(engine: Engine) -> Iterator[Session]:
    """One transaction on a session; committed at the end, rolled back on an error.

    Objects stay readable after the commit. Raises StorageUnavailable, StorageError, as ``connection``.
    """
    with named_errors(engine), Session(engine, expire_on_commit=False) as opened, opened.begin():
        yield opened


@contextmanager
def named_errors(engine: Engine) -> Iterator[None]:
    """Turns SQLAlchemy's errors into StorageUnavailable (try again later) or StorageError (do not)."""
    try:
        yield
    except SQLAlchemyError as error:
        kind = StorageUnavailable if _is_transient(error) else StorageError
        raise kind(f"PostgreSQL {where(engine.url)}: {_sentence(error, engine.url)}") from None


def where(url: URL) -> str:
    """Host, port and database of a URL, and never its user or password."""
    host = url.host or url.query.get("host") or "local socket"
    port = f":{url.port}" if url.port else ""
    return f"at {host if isinstance(host, str) else host[0]}{port}/{url.database or ''}"


def _url(url: str) -> URL:
    try:
        made = make_url(url)
    except ArgumentError:
        raise StorageError("database URL: cannot be parsed; expected postgresql://user:secret@host:port/name") from None
    if made.get_backend_name() != "postgresql":
        raise StorageError(f"database URL: {made.drivername}, not PostgreSQL")
    return made.set(drivername="postgresql+psycopg")


def _is_transient(error: SQLAlchemyError) -> bool:
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return isinstance(error, OperationalError | InterfaceError)


def _sentence(error: SQLAlchemyError, url: URL) -> str:
    """The server's own first line, without the statement, its parameters, or the URL's user and password."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    lines = str(cause).strip().splitlines()
    said = lines[0] if lines else type(cause).__name__
    for secret in (url.password, url.username):
        if secret:
            said = re.sub(rf"(?<!\w){re.escape(str(secret))}(?!\w)", "…", said)
    return said
