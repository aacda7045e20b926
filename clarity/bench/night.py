"""A night for a bench: captures in a real object store, scans in a real PostgreSQL, both of a stack of its own."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from sqlalchemy import Engine

from clarity import stack
from clarity.data.phantoms import draw
from clarity.data.phantoms.writing import encode
from clarity.records import Capture, Eye
from clarity.settings import Settings
from clarity.storage import database, keys, scans
from clarity.storage.objects import Objects

_PARTS = ("postgres", "s3")
_HEIGHT = 900
"""A phantom of this height has about one megapixel."""


@dataclass(frozen=True, slots=True)
class Night:
    """Captures that wait, and the services that they wait in."""

    settings: Settings
    engine: Engine
    objects: Objects
    captures: list[Capture]
    servers: list[psutil.Process]

    def server_seconds(self) -> float:
        """CPU time that PostgreSQL and the object store have used, with their children."""
        return sum(_seconds(child) for server in self.servers for child in [server, *server.children(recursive=True)])


@contextmanager
def night(photographs: Sequence[bytes]) -> Iterator[Night]:
    """Start the parts in a home of their own, store and register the photographs, and stop the parts again."""
    with tempfile.TemporaryDirectory(prefix="clarity-bench-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        home.chmod(0o755)  # PostgreSQL does not run as root; its own user has to come through here
        settings = stack.up(Settings(CLARITY_HOME=home / "home"), parts=_PARTS).settings
        engine = database.engine(settings.need("database_url"), pool_size=16)
        try:
            database.upgrade(settings.need("database_url"))
            objects = Objects(settings)
            objects.ensure_bucket()
            captures = [_stored(objects, data, number) for number, data in enumerate(photographs)]
            with database.session(engine) as session:
                scans.register(session, captures)
            pids = [part.pid for part in stack.status(settings) if part.pid]
            yield Night(settings, engine, objects, captures, [psutil.Process(pid) for pid in pids])
        finally:
            engine.dispose()
            stack.down(settings)


def photographs(folder: Path | None, number: int) -> list[bytes]:
    """``number`` different JPEGs: of a folder where one is given, else phantoms of a megapixel."""
    if folder is not None:
        found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
        return [path.read_bytes() for path in found[:number]]
    return [encode(draw(seed, seed % 5, size=_HEIGHT, eye=Eye.LEFT).image) for seed in range(number)]


def _stored(objects: Objects, data: bytes, number: int) -> Capture:
    sha = keys.sha256(data)
    suffix, kind = keys.kind(data)
    key = keys.capture_key(sha, suffix)
    objects.put_if_absent(key, data, kind)
    return Capture(sha, key, f"bench-{number // 2}", (Eye.LEFT, Eye.RIGHT)[number % 2], "bench")


def _seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return times.user + times.system
