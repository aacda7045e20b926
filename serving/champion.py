"""Which version is the champion, asked of MLflow's REST interface: one small request, without MLflow's client.

The client brings 150 MB and two seconds to a process that asks one question every other second.
"""

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from clarity.errors import NoChampion, SettingsError, StorageError, StorageUnavailable

_ALIAS = "champion"
_PATH = "/api/2.0/mlflow/registered-models/alias"
_TIMEOUT = httpx.Timeout(5.0, connect=2.0)
_MISSING = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""No such model; no such alias, which is a "wrong parameter" to MLflow."""


@dataclass(frozen=True, slots=True)
class Champion:
    """The version that the alias names."""

    version: str
    digest: str
    """Of the bundle that was registered as it; empty where the version is not ours."""


def client(tracking_uri: str | None) -> httpx.Client:
    """For one server, with the credentials that MLflow's own client takes from the environment.

    Raises SettingsError.
    """
    if tracking_uri is None:
        raise SettingsError(
            "MLFLOW_TRACKING_URI: not set, so there is no champion to serve; start the local stack with "
            "`clarity up`, or name a bundle with --bundle"
        )
    scheme = urlsplit(tracking_uri).scheme
    if scheme not in ("http", "https"):
        raise SettingsError(
            f"MLFLOW_TRACKING_URI: {scheme or 'a path'}, not http; the service follows an MLflow server"
        )
    token, user = os.environ.get("MLFLOW_TRACKING_TOKEN"), os.environ.get("MLFLOW_TRACKING_USERNAME")
    return httpx.Client(
        base_url=tracking_uri.rstrip("/"),
        timeout=_TIMEOUT,
        headers={"Authorization": f"Bearer {token}"} if token else None,
        auth=(user, os.environ.get("MLFLOW_TRACKING_PASSWORD", "")) if user and not token else None,
        verify=os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() not in ("true", "1"),
    )


def ask(client: httpx.Client, name: str) -> Champion:
    """Raises NoChampion where no version is promoted, StorageUnavailable, StorageError."""
    where = f"MLflow at {client.base_url.host}:{client.base_url.port or ''}"
    try:
        response = client.get(_PATH, params={"name": name, "alias": _ALIAS})
        said = response.json()
    except httpx.HTTPError as error:
        raise StorageUnavailable(f"{where}: {type(error).__name__}, asking for {name}@{_ALIAS} failed") from None
    except ValueError:
        raise StorageUnavailable(f"{where}: HTTP {response.status_code} and no JSON for {name}@{_ALIAS}") from None
    if response.status_code != 200:
        if said.get("error_code") in _MISSING:
            raise NoChampion(f"model {name}: no version is promoted; `clarity train` promotes one that passes the gate")
        kind = StorageUnavailable if response.status_code >= 500 else StorageError
        raise kind(f"{where}: HTTP {response.status_code}, asking for {name}@{_ALIAS} failed")
    version = said["model_version"]
    tags = {tag["key"]: tag["value"] for tag in version.get("tags", [])}
    return Champion(str(version["version"]), tags.get("clarity.bundle", ""))
