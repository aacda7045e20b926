"""Which model is served: the registry's champion, or a bundle directory that was named."""

from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import httpx

from clarity.errors import BundleError, SettingsError, StorageUnavailable
from clarity.inference.bundle import Bundle
from clarity.inference.engine import Engine
from clarity.inference.grader import Grader
from clarity.registry import cache
from clarity.settings import Settings
from serving import download
from serving.champion import Champion

_FETCH_S = 300.0
"""However large the bundle: a store that has not given it by then is asked again later."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model comes from; plain data, so that it can be handed to another process."""

    name: str
    bundle: Path | None
    tracking_uri: str | None
    cache: Path

    @classmethod
    def of(cls, settings: Settings, name: str, bundle: Path | None) -> "Source":
        """The named bundle directory where one is given, otherwise the champion ``name``."""
        return cls(name, bundle, settings.mlflow_tracking_uri, settings.home / "models")

    def locate(self) -> tuple[Path, str]:
        """The bundle's directory on this machine, and the version that answers name.

        Raises NoChampion, BundleError, StorageError, SettingsError.
        """
        if self.bundle is not None:
            return self.bundle, f"bundle-{Bundle.load(self.bundle).digest[:12]}"
        if self.tracking_uri is None:
            raise SettingsError(
                "MLFLOW_TRACKING_URI: not set, so there is no champion to serve; start the local stack with "
                "`clarity up`, or name a bundle with --bundle"
            )
        from clarity.registry.models import Registry

        registry = Registry(self.tracking_uri)
        ref = registry.champion(self.name)
        return registry.fetch(ref, self.cache), ref.version

    def bring(self, client: httpx.Client, champion: Champion) -> Path:
        """The champion's bundle on this machine: as it lies there, or fetched. Raises BundleError, StorageError."""
        place = cache.place(self.cache, self.name, champion.version, champion.digest)
        try:
            if place.is_dir() and Bundle.load(place).digest == champion.digest:
                return place
        except BundleError:
            pass  # damaged here: it is replaced
        folder = download.proxied(client, self.name, champion.version)
        if folder is None:
            return _apart(self, champion.version)
        try:
            fetch = partial(download.download, client, folder)
            return cache.fetch(place, champion.digest, lambda scratch: fetch(scratch / "bundle"))
        except OSError as error:
            raise StorageUnavailable(f"{place}: {error.strerror}, the bundle cannot be kept there") from None

    def open(self, path: Path, version: str) -> Grader:
        """A grader with the model, which takes about a second. Raises BundleError, InferenceError."""
        bundle = Bundle.load(path)
        return Grader(bundle, Engine.load(bundle), version)

    def load(self) -> Grader:
        """The model, asked for in this process. Raises as ``locate`` and ``open`` do."""
        return self.open(*self.locate())

    def fetch(self, version: str) -> Path:
        """One version's bundle, through MLflow's client. Raises BundleError, StorageError."""
        from clarity.registry.models import Registry

        registry = Registry(self.tracking_uri or "")
        return registry.fetch(registry.get(self.name, version), self.cache)


def _apart(source: Source, version: str) -> Path:
    """In a child process: MLflow's client brings 150 MB that a process which lives long has no use for."""
    pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
    try:
        return pool.submit(source.fetch, version).result(_FETCH_S)
    except BrokenProcessPool:
        raise StorageUnavailable(
            f"version {version} of model {source.name}: the process that fetched it died"
        ) from None
    except TimeoutError:
        raise StorageUnavailable(f"version {version} of model {source.name}: not fetched in {_FETCH_S:g} s") from None
    finally:
        for process in list((pool._processes or {}).values()):
            process.kill()
        pool.shutdown(wait=False, cancel_futures=True)
