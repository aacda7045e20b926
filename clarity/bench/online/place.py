"""Where the service is measured: PostgreSQL, S3 and MLflow of its own, model versions that can be promoted, a key."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from sqlalchemy import Engine

from clarity import stack
from clarity.access import keys
from clarity.bench.online.bundles import NAME
from clarity.bench.online.caller import upload
from clarity.bench.online.server import CLARITY, Server, free_port, serving
from clarity.inference.bundle import Bundle
from clarity.records import ModelRef
from clarity.registry import promotion
from clarity.registry.models import Registry
from clarity.settings import Settings
from clarity.storage import database
from clarity.storage.objects import Objects

_PARTS = ("postgres", "s3", "mlflow")
_PROJECT = Path(__file__).resolve().parents[3]
_RATE = 1_000_000
"""Requests a minute of the bench's key: what is measured is the service's capacity, not its politeness."""


@dataclass(frozen=True, slots=True)
class Place:
    """A service can be started here, and its champion changed."""

    settings: Settings
    engine: Engine
    registry: Registry
    folder: Path
    configuration: tuple[Path, ...]
    versions: tuple[tuple[ModelRef, Bundle], ...]
    photographs: tuple[bytes, ...]
    key: str
    """With the scope predict."""

    def promote(self, number: int) -> str:
        """Make a version the champion, as a person would; its name."""
        ref = self.versions[number][0]
        return promotion.promote(self.registry, self.engine, ref, actor="bench", reasons=["the bench's"]).version

    def rollback(self) -> str:
        """Return to the champion before; its name."""
        name = self.versions[0][0].name
        return promotion.rollback(self.registry, self.engine, name, actor="bench", reasons=["the bench's"]).version

    def serve(self) -> AbstractContextManager[Server]:
        """``clarity serve`` on a free port, ready."""
        port = free_port()
        files = [text for file in self.configuration for text in ("--config", str(file))]
        environment = {**self.settings.environment(), "CLARITY_PROJECT": str(_PROJECT)}
        return serving([*CLARITY, "serve", "--port", str(port), *files], port, environment, key=self.key)

    def requests(self, address: tuple[str, int]) -> tuple[Path, ...]:
        """A file for each photograph, with the whole request that grades it."""
        made = []
        for number, photograph in enumerate(self.photographs):
            made.append(self.folder / f"request-{number}")
            made[-1].write_bytes(upload(address, [photograph], key=self.key))
        return tuple(made)


@contextmanager
def place(bundles: Sequence[Bundle], photographs: Sequence[bytes]) -> Iterator[Place]:
    """Start the parts in a home of their own and furnish them; stop the parts at the end.

    Raises StackError, StorageError, BundleError.
    """
    with tempfile.TemporaryDirectory(prefix="clarity-bench-", ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch)
        folder.chmod(0o755)  # PostgreSQL does not run as root; its own user has to come through here
        settings = stack.up(Settings(CLARITY_HOME=folder / "home", CLARITY_PROJECT=_PROJECT), parts=_PARTS).settings
        try:
            with furnished(settings, bundles, photographs, folder) as made:
                yield made
        finally:
            stack.down(settings)


@contextmanager
def furnished(
    settings: Settings, bundles: Sequence[Bundle], photographs: Sequence[bytes], folder: Path
) -> Iterator[Place]:
    """Make tables, bucket and key in parts that run, register the bundles and promote the first."""
    engine = database.engine(settings.need("database_url"))
    try:
        database.upgrade(settings.need("database_url"))
        Objects(settings).ensure_bucket()
        registry = Registry(settings.need("mlflow_tracking_uri"))
        versions = tuple((_registered(registry, bundle), bundle) for bundle in bundles)
        files = (_PROJECT / "conf/pipeline.yaml", _configuration(folder))
        _, key = keys.make(engine, "bench", ("predict",), rate_per_minute=_RATE, expires_at=None)
        made = Place(settings, engine, registry, folder, files, versions, tuple(photographs), key)
        made.promote(0)
        yield made
    finally:
        engine.dispose()


def _registered(registry: Registry, bundle: Bundle) -> ModelRef:
    found = registry.client.get_experiment_by_name(NAME)
    number = found.experiment_id if found else registry.client.create_experiment(NAME)
    run: str = registry.client.create_run(number).info.run_id
    registry.client.set_terminated(run)
    return registry.register(bundle.path, run, NAME)


def _configuration(folder: Path) -> Path:
    file = folder / "bench.yaml"
    file.write_text(yaml.safe_dump({"model": {"name": NAME}}), encoding="utf-8")
    return file
