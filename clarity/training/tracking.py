"""The record of a training: explicit calls on a small object that is passed in. The only MLflow run calls."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, Self

from clarity.errors import StorageError

EXPERIMENT = "clarity"
_RETRIES = "4"
"""MLflow's own default waits four minutes for a server that is not there."""


class Tracking(Protocol):
    """Where a run writes what it did."""

    @property
    def run_id(self) -> str: ...
    def params(self, values: Mapping[str, object]) -> None: ...
    def metrics(self, values: Mapping[str, float], step: int = 0) -> None: ...
    def tags(self, values: Mapping[str, str]) -> None: ...
    def artifact(self, path: Path, folder: str = "") -> None: ...
    def finish(self, status: str = "FINISHED") -> None: ...


class Untracked:
    """Keeps nothing: for a notebook, a test, an experiment."""

    run_id = ""

    def params(self, values: Mapping[str, object]) -> None: ...
    def metrics(self, values: Mapping[str, float], step: int = 0) -> None: ...
    def tags(self, values: Mapping[str, str]) -> None: ...
    def artifact(self, path: Path, folder: str = "") -> None: ...
    def finish(self, status: str = "FINISHED") -> None: ...


class MlflowRun:
    """One MLflow run, written to explicitly."""

    def __init__(self, client: Any, run_id: str, uri: str) -> None:
        self._client, self.run_id, self._uri = client, run_id, uri

    @classmethod
    def start(cls, uri: str, name: str, tags: Mapping[str, str] | None = None) -> Self:
        """A new run in the experiment "clarity". Raises StorageError where the server cannot be reached."""
        client = _client(uri)
        with _named(uri):
            found = client.get_experiment_by_name(EXPERIMENT)
            experiment = found.experiment_id if found else _create(client)
            run = client.create_run(experiment, run_name=name, tags=dict(tags or {}))
        return cls(client, run.info.run_id, uri)

    @classmethod
    def resume(cls, uri: str, run_id: str) -> Self:
        """The run of that id, open again. Raises StorageError where the server does not know it."""
        client = _client(uri)
        with _named(uri):
            client.get_run(run_id)
            client.update_run(run_id, status="RUNNING")
        return cls(client, run_id, uri)

    def params(self, values: Mapping[str, object]) -> None:
        """Write-once values; a resumed run says the same ones again, which MLflow takes."""
        from mlflow.entities import Param

        with _named(self._uri):
            self._client.log_batch(self.run_id, params=[Param(k, str(v)[:6000]) for k, v in values.items()])

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        from mlflow.entities import Metric
        from mlflow.utils.time import get_current_time_millis

        now = get_current_time_millis()
        with _named(self._uri):
            found = [Metric(key, float(value), now, step) for key, value in values.items()]
            self._client.log_batch(self.run_id, metrics=found)

    def tags(self, values: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        with _named(self._uri):
            self._client.log_batch(self.run_id, tags=[RunTag(key, value) for key, value in values.items()])

    def artifact(self, path: Path, folder: str = "") -> None:
        """A file, or a folder's files, below ``folder`` of the run."""
        with _named(self._uri):
            log = self._client.log_artifacts if path.is_dir() else self._client.log_artifact
            log(self.run_id, str(path), folder or None)

    def finish(self, status: str = "FINISHED") -> None:
        """Close the run: FINISHED, FAILED or KILLED."""
        with _named(self._uri):
            self._client.set_terminated(self.run_id, status=status)


def _client(uri: str) -> Any:
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", _RETRIES)
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def _create(client: Any) -> str:
    from mlflow.exceptions import MlflowException

    try:
        return str(client.create_experiment(EXPERIMENT))
    except MlflowException:  # another run was faster
        return str(client.get_experiment_by_name(EXPERIMENT).experiment_id)


class _named:  # noqa: N801 — reads as a word in a with
    """Turns MLflow's and the network's errors into StorageError."""

    def __init__(self, uri: str) -> None:
        self.uri = uri

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        from mlflow.exceptions import MlflowException

        if isinstance(error, MlflowException | OSError):
            first = str(error).strip().splitlines()[0][:300]
            raise StorageError(f"MLflow at {self.uri}: {first}") from None
