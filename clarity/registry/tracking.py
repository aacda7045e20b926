"""One way to MLflow: a client whose errors are named, silent to third parties, without waits of minutes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from clarity.errors import StorageError, StorageUnavailable

if TYPE_CHECKING:
    from mlflow import MlflowClient

_MANNERS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",  # about 10 s in all; MLflow's own 7 are about 4 minutes
}


def library() -> Any:
    """The package ``mlflow``, which is imported here first.

    MLflow takes its manners from the environment only, and reads one of them while it is imported (1 to 2 s, with
    FastAPI and pandas in tow): so both happen here and not on import of this package. What the environment already
    says stays.
    """
    for name, value in _MANNERS.items():
        os.environ.setdefault(name, value)
    import mlflow

    return mlflow


def client(tracking_uri: str) -> "MlflowClient":
    """A client of the MLflow server at ``tracking_uri``. Connects to nothing yet."""
    made: MlflowClient = library().MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
    return made


@contextmanager
def named_errors(tracking_uri: str, subject: str) -> Iterator[None]:
    """Turns MLflow's exceptions into StorageUnavailable (try again later) or StorageError (do not)."""
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException

    try:
        yield
    except MlflowException as error:
        if _unreachable(error):
            raise StorageUnavailable(f"MLflow at {where(tracking_uri)}: does not answer, {subject} failed") from None
        said = str(error.message).strip().splitlines()[0][:300]
        raise StorageError(f"MLflow at {where(tracking_uri)}: {subject} failed, {said}") from None
    except RequestException as error:
        kind = type(error).__name__
        raise StorageUnavailable(f"MLflow at {where(tracking_uri)}: {kind}, {subject} failed") from None


@contextmanager
def missing_is_fine() -> Iterator[None]:
    """Passes over MLflow's word that the thing asked for is not there."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if not is_missing(error):
            raise


def is_missing(error: Exception) -> bool:
    """Whether MLflow says that the thing asked for is not there. An unknown alias is a "wrong parameter" to it."""
    code = getattr(error, "error_code", None)
    return code == "RESOURCE_DOES_NOT_EXIST" or (code == "INVALID_PARAMETER_VALUE" and "alias" in str(error))


def where(tracking_uri: str) -> str:
    """The address without user and password."""
    parts = urlsplit(tracking_uri)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"


def _unreachable(error: Exception) -> bool:
    # what requests raised is only to be found in the text: the client wraps it into "API request to … failed with …"
    text = str(error)
    return "failed with exception" in text or getattr(error, "error_code", "") == "TEMPORARILY_UNAVAILABLE"
