"""Model versions in MLflow's registry: the only calls to it. Aliases say which one is champion; never stages.

A version is registered from a *logged model* (``models:/m-…``), whose artifact folder is the bundle directory and
nothing else. A version registered from ``runs:/`` resolves to the run's whole tree instead (MLflow #25562).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clarity.errors import BundleError, NoChampion
from clarity.inference.bundle import Bundle
from clarity.records import ModelRef
from clarity.registry import cache, tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
_RUN, _BUNDLE = "clarity.run_id", "clarity.bundle"


class Registry:
    """The registry of one MLflow server. Making one connects to nothing and imports nothing."""

    def __init__(self, tracking_uri: str) -> None:
        self.tracking_uri = tracking_uri

    @cached_property
    def client(self) -> "MlflowClient":
        """The client behind it, made on first use."""
        return tracking.client(self.tracking_uri)

    def register(self, bundle_dir: Path, run_id: str, name: str) -> ModelRef:
        """Make the bundle directory of a run a version of model ``name``, or find the version that it is already.

        The same run with the same bundle is the same version, however often and by however many processes it is
        registered; a run whose evaluation was repeated with other results has another bundle and is another version.
        Raises BundleError where the directory is no sound bundle or a draft (``Bundle.refusal``), StorageError.
        """
        bundle = Bundle.load(bundle_dir)
        if refused := bundle.refusal():
            raise BundleError(f"{bundle_dir}: {refused}, so it is not registered")
        with self._named(f"registering {name} from run {run_id}"):
            if known := self._registered(name, run_id, bundle.digest):
                return self._ref(known[0], self._aliases(name))
            model_id = self._logged(bundle, run_id)
            self._ensure_model(name)
            self.client.create_model_version(
                name,
                f"models:/{model_id}",
                run_id=run_id,
                model_id=model_id,
                tags=_tags(bundle, run_id),
                description=bundle.spec.data_summary,
                await_creation_for=0,
            )
            return self._ref(self._first(name, run_id, bundle.digest), self._aliases(name))

    def champion(self, name: str) -> ModelRef:
        """The promoted version. Raises NoChampion where there is none, StorageError."""
        version = self.version_of(name, CHAMPION)
        if version is None:
            raise NoChampion(f"model {name}: no version is promoted; `clarity train` promotes one that passes the gate")
        return self.get(name, version)

    def version_of(self, name: str, alias: str) -> str | None:
        """The version that an alias names, or None."""
        with self._named(f"asking for {name}@{alias}"):
            return self._aliases(name).get(alias)

    def get(self, name: str, version: str) -> ModelRef:
        """One version. Raises StorageError where it does not exist."""
        with self._named(f"version {version} of model {name}"):
            return self._ref(self.client.get_model_version(name, version), self._aliases(name))

    def list(self, name: str) -> Sequence[ModelRef]:
        """All versions with their aliases, newest first."""
        with self._named(f"listing model {name}"):
            aliases = self._aliases(name)  # a search for versions gives none (MLflow #16734)
            return [self._ref(found, aliases) for found in reversed(self._search(f"name = '{name}'"))]

    def names(self) -> Sequence[str]:
        """The models that there are, by name."""
        with self._named("listing models"):
            return sorted(model.name for model in _pages(self.client.search_registered_models))

    def tags(self, ref: ModelRef) -> dict[str, str]:
        """What the version says of itself: run, bundle digest, data version, commit, fingerprint, verdict."""
        with self._named(f"tags of {ref.uri}"):
            return dict(self.client.get_model_version(ref.name, ref.version).tags)

    def digest(self, ref: ModelRef) -> str:
        """The digest of the bundle that was registered as this version; "" where the version is not ours."""
        return self.tags(ref).get(_BUNDLE, "")

    def tag(self, ref: ModelRef, tags: Mapping[str, str]) -> None:
        """Write tags on the version and on the run that made it, for example the gate's verdict."""
        from mlflow.entities import RunTag

        with self._named(f"tagging {ref.uri}"):
            known = self.tags(ref)
            for key, value in tags.items():  # each of them is a request
                if known.get(key) != value:
                    self.client.set_model_version_tag(ref.name, ref.version, key, value)
            self.client.log_batch(ref.run_id, tags=[RunTag(key, value[:5000]) for key, value in tags.items()])

    def promote(self, ref: ModelRef, *, previous: str | None = None) -> ModelRef:
        """Point ``champion`` at the version, and ``previous`` at the version to which a rollback would return.

        Only moves the aliases; ``promotion.promote`` also writes the ledger and is what people and flows call.
        """
        with self._named(f"promoting {ref.uri}"):
            self.client.set_registered_model_alias(ref.name, CHAMPION, ref.version)
            if previous is None:
                self.client.delete_registered_model_alias(ref.name, PREVIOUS)
            else:
                self.client.set_registered_model_alias(ref.name, PREVIOUS, previous)
            if self._aliases(ref.name).get(CHALLENGER) == ref.version:
                self.client.delete_registered_model_alias(ref.name, CHALLENGER)
        return self.get(ref.name, ref.version)

    def challenge(self, ref: ModelRef) -> ModelRef:
        """Point ``challenger`` at a version that is to be judged."""
        with self._named(f"naming {ref.uri} the challenger"):
            self.client.set_registered_model_alias(ref.name, CHALLENGER, ref.version)
        return self.get(ref.name, ref.version)

    def fetch(self, ref: ModelRef, cache_dir: Path) -> Path:
        """The version's bundle directory, from ``cache_dir`` where it is sound there, otherwise downloaded into it.

        Checked on every call by Bundle.load and against the digest with which it was registered. Any number of
        processes may fetch one version at once. Raises BundleError, StorageError.
        """
        digest = self.digest(ref)

        def download(scratch: Path) -> Path:
            from mlflow import artifacts

            with self._named(f"fetching {ref.uri}"):
                source = self.client.get_model_version_download_uri(ref.name, ref.version)
                return Path(artifacts.download_artifacts(source, dst_path=str(scratch), tracking_uri=self.tracking_uri))

        return cache.fetch(cache.place(cache_dir, ref.name, ref.version, digest), digest, download)

    def _logged(self, bundle: Bundle, run_id: str) -> str:
        """The id of the run's logged model that is this bundle; uploads it where it is not there whole."""
        experiment = self.client.get_run(run_id).info.experiment_id
        for found in self.client.search_logged_models([experiment], filter_string=f"source_run_id = '{run_id}'"):
            if found.tags.get(_BUNDLE) == bundle.digest and found.status == "READY":
                return str(found.model_id)  # one that is not ready is an interrupted upload, or another's that goes on
        tags = {_RUN: run_id, _BUNDLE: bundle.digest}
        made = self.client.create_logged_model(experiment, name="bundle", source_run_id=run_id, tags=tags)
        self.client.log_model_artifacts(made.model_id, str(bundle.path))
        self.client.finalize_logged_model(made.model_id, "READY")
        return str(made.model_id)

    def _first(self, name: str, run_id: str, digest: str) -> Any:
        """The one version that two processes registering at once agree on; the later ones are deleted."""
        first, *doubles = self._registered(name, run_id, digest)
        for double in doubles:
            with tracking.missing_is_fine():
                self.client.delete_model_version(name, double.version)
        return first

    def _ensure_model(self, name: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self.client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _registered(self, name: str, run_id: str, digest: str) -> Sequence[Any]:
        found = self._search(f"name = '{name}' and run_id = '{run_id}'")
        return [version for version in found if version.tags.get(_BUNDLE) == digest]

    def _search(self, query: str) -> Sequence[Any]:
        """Versions in ascending order, all pages."""
        found = _pages(partial(self.client.search_model_versions, query))
        return sorted(found, key=lambda version: int(version.version))

    def _aliases(self, name: str) -> dict[str, str]:
        """Version by alias; none where there is no such model yet."""
        from mlflow.exceptions import MlflowException

        try:
            return {alias: str(version) for alias, version in self.client.get_registered_model(name).aliases.items()}
        except MlflowException as error:
            if tracking.is_missing(error):
                return {}
            raise

    def _ref(self, version: Any, aliases: Mapping[str, str]) -> ModelRef:
        number = str(version.version)
        own = [alias for alias in (CHAMPION, PREVIOUS, CHALLENGER) if aliases.get(alias) == number]
        uri = f"models:/{version.name}/{number}"
        return ModelRef(version.name, number, version.run_id or "", uri, own[0] if own else None)

    def _named(self, subject: str) -> AbstractContextManager[None]:
        return tracking.named_errors(self.tracking_uri, subject)


def _pages(search: Callable[..., Any]) -> Iterator[Any]:
    token = None
    while True:
        page = search(max_results=500, page_token=token)
        yield from page
        if not (token := page.token):
            return


def _tags(bundle: Bundle, run_id: str) -> dict[str, str]:
    spec = bundle.spec
    return {
        _RUN: run_id,
        _BUNDLE: bundle.digest,
        "clarity.data_version": spec.data_version,
        "clarity.git_commit": spec.git_commit,
        "clarity.fingerprint": spec.fingerprint,
        "clarity.backbone": spec.backbone,
    }
