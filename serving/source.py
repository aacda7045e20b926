"""Which model is served: the registry's champion, or a bundle directory that was named."""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from clarity.errors import SettingsError
from clarity.inference.bundle import Bundle
from clarity.inference.engine import Engine
from clarity.inference.grader import Grader
from clarity.settings import Settings


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

    def load(self, *, apart: bool = False) -> Grader:
        """A grader with the model. ``apart`` asks the registry in a child process: MLflow's client brings 150 MB that a
        process which lives long has no use for. Raises as ``locate`` does, and InferenceError.
        """
        path, version = _apart(self) if apart and self.bundle is None else self.locate()
        bundle = Bundle.load(path)
        return Grader(bundle, Engine.load(bundle), version)


def _apart(source: Source) -> tuple[Path, str]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(source.locate).result()
