"""A version's bundle through MLflow's own proxy of artifacts: plain requests, where MLflow's client needs seconds.

The proxy is how the local stack and most servers are set up. Where artifacts lie elsewhere (``s3://…``) the client's
own ways are needed, and ``Source`` asks a child process for them.
"""

import re
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from clarity.errors import BundleError, StorageError, StorageUnavailable

_WHERE = "/api/2.0/mlflow/model-versions/get-download-uri"
_ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
_SCHEME = "mlflow-artifacts"
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_TIMEOUT = httpx.Timeout(30.0, connect=2.0)


def proxied(client: httpx.Client, name: str, version: str) -> str | None:
    """The folder of a version's bundle behind the proxy; None where it lies elsewhere. Raises StorageError."""
    said = _get(client, _WHERE, {"name": name, "version": version}).json()
    uri = urlsplit(said["artifact_uri"])
    return uri.path.strip("/") if uri.scheme == _SCHEME and not uri.netloc else None


def download(client: httpx.Client, folder: str, to: Path) -> Path:
    """All its files; a bundle has no folders in it. Raises StorageError, BundleError for what no bundle has."""
    to.mkdir(exist_ok=True)
    for found in _get(client, _ARTIFACTS, {"path": folder}).json().get("files", []):
        if found["is_dir"] or not _PLAIN.fullmatch(found["path"]):
            raise BundleError(f"{folder}: {found['path'][:80]!r}, not a plain file; no bundle has it")
        _fetch(client, f"{_ARTIFACTS}/{folder}/{found['path']}", to / found["path"])
    return to


def _fetch(client: httpx.Client, path: str, to: Path) -> None:
    try:
        with client.stream("GET", path, timeout=_TIMEOUT) as response, to.open("wb") as file:
            _check(client, response)
            for part in response.iter_bytes():
                file.write(part)
    except httpx.HTTPError as error:
        raise _away(client, error) from None


def _get(client: httpx.Client, path: str, params: dict[str, str]) -> httpx.Response:
    try:
        response = client.get(path, params=params, timeout=_TIMEOUT)
    except httpx.HTTPError as error:
        raise _away(client, error) from None
    _check(client, response)
    return response


def _check(client: httpx.Client, response: httpx.Response) -> None:
    if response.status_code != 200:
        kind = StorageUnavailable if response.status_code >= 500 else StorageError
        raise kind(f"MLflow at {client.base_url.host}: HTTP {response.status_code}, the bundle cannot be fetched")


def _away(client: httpx.Client, error: httpx.HTTPError) -> StorageUnavailable:
    where = f"MLflow at {client.base_url.host}"
    return StorageUnavailable(f"{where}: {type(error).__name__}, the bundle cannot be fetched")
