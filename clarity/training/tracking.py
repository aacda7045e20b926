"""The record of a training: explicit calls on a small object that is passed in. The only MLflow run calls."""

import logging
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from clarity.errors import ClarityError, StorageError
from clarity.inference import environment
from clarity.params import Params
from clarity.registry import tracking as mlflow_access
from clarity.training.identity import Origin

if TYPE_CHECKING:
    from pydantic.main import IncEx

log = logging.getLogger(__name__)
EXPERIMENT = "clarity"
FINISHED, FAILED, KILLED = "FINISHED", "FAILED", "KILLED"


class Tracking(Protocol):
    """Where a run writes what it did."""

    @property
    def run_id(self) -> str: ...
    def params(self, values: Mapping[str, object]) -> None: ...
    def metrics(self, values: Mapping[str, float], step: int = 0) -> None: ...
    def tags(self, values: Mapping[str, str]) -> None: ...
    def artifact(self, path: Path, folder: str = "") -> None: ...
    def finish(self, status: str = FINISHED) -> None: ...


class Untracked:
    """Keeps nothing: for a notebook, a test, an experiment."""

    run_id = ""

    def params(self, values: Mapping[str, object]) -> None: ...
    def metrics(self, values: Mapping[str, float], step: int = 0) -> None: ...
    def tags(self, values: Mapping[str, str]) -> None: ...
    def artifact(self, path: Path, folder: str = "") -> None: ...
    def finish(self, status: str = FINISHED) -> None: ...


class MlflowRun:
    """One MLflow run, written to explicitly. Every call raises StorageError where the server refuses or is away."""

    def __init__(self, client: Any, run_id: str, uri: str) -> None:
        self._client, self.run_id, self._uri = client, run_id, uri

    @classmethod
    def start(cls, uri: str, name: str) -> Self:
        """A new run in the experiment "clarity"."""
        client = mlflow_access.client(uri)
        with mlflow_access.named_errors(uri, f"starting run {name}"):
            run = client.create_run(_experiment(client), run_name=name)
        return cls(client, run.info.run_id, uri)

    @classmethod
    def resume(cls, uri: str, run_id: str) -> Self:
        """The run of that id, open again."""
        client = mlflow_access.client(uri)
        with mlflow_access.named_errors(uri, f"going on with run {run_id}"):
            client.update_run(run_id, status="RUNNING")
        return cls(client, run_id, uri)

    @classmethod
    def of(cls, uri: str, note: Path, name: str) -> Self:
        """The run that ``note`` names, or a new one that it names from now on: a killed training keeps its run."""
        if note.is_file():
            try:
                return cls.resume(uri, note.read_text(encoding="utf-8").strip())
            except StorageError:  # another server, or a run that was deleted: a new one will do
                note.unlink()
        run = cls.start(uri, name)
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(run.run_id + "\n", encoding="utf-8")
        return run

    def params(self, values: Mapping[str, object]) -> None:
        """Write-once values; a resumed run says the same ones again, which MLflow takes."""
        from mlflow.entities import Param

        with self._named("writing parameters"):
            self._client.log_batch(self.run_id, params=[Param(k, str(v)[:6000]) for k, v in values.items()])

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Figures at a step; MLflow draws them as curves."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        with self._named("writing metrics"):
            found = [Metric(key, float(value), now, step) for key, value in values.items()]
            self._client.log_batch(self.run_id, metrics=found)

    def tags(self, values: Mapping[str, str]) -> None:
        """What a run is found by."""
        from mlflow.entities import RunTag

        with self._named("writing tags"):
            self._client.log_batch(self.run_id, tags=[RunTag(key, value) for key, value in values.items()])

    def artifact(self, path: Path, folder: str = "") -> None:
        """A file, or a folder's files, below ``folder`` of the run."""
        log = self._client.log_artifacts if path.is_dir() else self._client.log_artifact
        with self._named(f"storing {path.name}"):
            log(self.run_id, str(path), folder or None)

    def finish(self, status: str = FINISHED) -> None:
        """Close the run: FINISHED, FAILED or KILLED."""
        with self._named("closing the run"):
            self._client.set_terminated(self.run_id, status=status)

    def _named(self, subject: str) -> AbstractContextManager[None]:
        return mlflow_access.named_errors(self._uri, subject)


@contextmanager
def closing(run: Tracking) -> Iterator[None]:
    """Ends the run as finished, or as failed or killed where the block raised."""
    try:
        yield
    except BaseException as error:
        try:
            run.finish(KILLED if isinstance(error, KeyboardInterrupt | SystemExit) else FAILED)
        except ClarityError as second:  # the first error is the one that matters
            log.warning("%s", second)
        raise
    run.finish()


def describe(run: Tracking, params: Params, origin: Origin, key: str) -> None:
    """Everything that the training depends on, before its first step: parameters, versions, the environment's lock.

    Parameters of MLflow are written once, and one training may be evaluated with several others: see ``evaluation``.
    """
    run.params(_flat(params, {"imaging": True, "quality": True, "split": True, "model": True, "train": True,
                              "evaluate": {"decision"}}))  # fmt: skip
    versions = {f"version.{name}": version for name, version in environment.versions().items()}
    whence = {"clarity.data_version": origin.data_version, "clarity.git_commit": origin.git_commit}
    run.tags({**whence, "clarity.training_key": key, **versions})
    with tempfile.TemporaryDirectory() as scratch:
        lock = Path(scratch) / environment.NAME
        lock.write_text(environment.lock(), encoding="utf-8")
        run.artifact(lock)


def evaluation(params: Params, origin: Origin) -> dict[str, str]:
    """What an evaluation depends on beside its training, as tags: of the run the last one's, of a version its own."""
    said = {name: str(value) for name, value in _flat(params, {"evaluate": True, "quality": True}).items()}
    return said | {"clarity.evaluate_commit": origin.git_commit}


def _flat(params: Params, which: "IncEx") -> dict[str, object]:
    """Values by their names of conf/pipeline.yaml, for example ``train.learning_rate``."""
    sections = params.model_dump(include=which)
    return {f"{section}.{name}": value for section, values in sections.items() for name, value in values.items()}


def _experiment(client: Any) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(EXPERIMENT)
    if found:
        return str(found.experiment_id)
    try:
        return str(client.create_experiment(EXPERIMENT))
    except MlflowException as error:
        if getattr(error, "error_code", "") != "RESOURCE_ALREADY_EXISTS":
            raise
        return str(client.get_experiment_by_name(EXPERIMENT).experiment_id)  # another run was faster
