"""One service's address, key and trust, and what its methods have in common: read one answer, or all pages."""

import mimetypes
import os
import ssl
import uuid
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import httpx

from clarity.client.errors import Misunderstood, NotConfigured
from clarity.client.reading import Answer, read
from clarity.client.transport import IDEMPOTENCY_KEY, Patience, Transport, document

Photograph = bytes | Path
_Read = TypeVar("_Read", bound=Answer)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Connection:
    """Reads answers. Raises NotConfigured where the address is none."""

    def __init__(
        self, url: str | None, key: str | None, certificate: Path | None, timeout_s: float, patience: Patience
    ) -> None:
        self.url = _address(url if url is not None else os.environ.get("CLARITY_API_URL", ""))
        key = key if key is not None else os.environ.get("CLARITY_API_KEY", "")
        http = httpx.Client(
            base_url=f"{self.url}/v1",
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=timeout_s,
            verify=_trust(certificate),
            trust_env=_away(self.url),
        )
        self._transport = Transport(http, patience)

    def close(self) -> None:
        """Close what is open."""
        self._transport.http.close()

    def get(self, kind: type[_Read], path: str, *, accept: frozenset[int] = frozenset()) -> _Read:
        """An answer of GET; also of a status in ``accept``."""
        return read(kind, document(self._transport.send("GET", path, accept=accept)))

    def text(self, path: str) -> str:
        """An answer of GET that is no JSON."""
        return self._transport.send("GET", path).text

    def post(self, kind: type[_Read], path: str, **body: Any) -> _Read:
        """An answer of POST; each of its attempts carries the same Idempotency-Key."""
        headers = {IDEMPOTENCY_KEY: str(uuid.uuid4())}
        return read(kind, document(self._transport.send("POST", path, headers=headers, **body)))

    def once(self, kind: type[_Read], method: str, path: str, **body: Any) -> _Read:
        """An answer of a request that is not tried again."""
        return read(kind, document(self._transport.send(method, path, **body)))

    def pages(self, kind: type[_Read], path: str, items: str, params: Mapping[str, Any]) -> Iterator[_Read]:
        """What stands in ``items`` of each page; the next page is asked for when this one is read."""
        cursor: str | None = None
        while True:
            asked = {**params, "cursor": cursor} if cursor else params
            page = document(self._transport.send("GET", path, params=asked))
            if items not in page:
                raise Misunderstood(f"{path}: no {items!r} in the answer, is this Clarity's API?")
            for item in page[items]:
                yield read(kind, item)
            cursor = page.get("following")
            if not cursor:
                return

    def download(self, address: str) -> bytes:
        """What lies at an address of another server, which gets no key of ours."""
        with httpx.Client(timeout=self._transport.http.timeout, trust_env=_away(address)) as http:
            return Transport(http, self._transport.patience).send("GET", address).content


def part(name: str) -> str:
    """An id as a part of a path, out of which it cannot lead. Raises ValueError."""
    if name.strip(".") == "":
        raise ValueError(f"id {name!r}: no id of a record")
    return quote(name, safe="")


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON, a form and an address carry it; without what was not said."""
    return {name: _text(value) for name, value in values.items() if value is not None}


def changes(values: Mapping[str, Any]) -> dict[str, Any]:
    """As ``plain``, and None says that a field is emptied."""
    return {name: _text(value) for name, value in values.items()}


def _text(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value


def file(photograph: Photograph, number: int = 0) -> tuple[str, bytes, str]:
    """Of a form. The name says nothing: a file's own may be a patient's."""
    if isinstance(photograph, bytes):
        return f"photograph-{number}", photograph, "application/octet-stream"
    kind = mimetypes.guess_type(photograph.name)[0] or "application/octet-stream"
    return f"photograph-{number}", photograph.read_bytes(), kind


def _address(said: str) -> str:
    try:
        url = httpx.URL(said)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host:
        said = said if said else "not set"
        raise NotConfigured(f"CLARITY_API_URL: {said}, not the address of a service, as http://127.0.0.1:8000")
    return said.rstrip("/")


def _away(url: str) -> bool:
    """Whether it is another machine, to which a proxy may lead."""
    return httpx.URL(url).host not in _LOOPBACK


def _trust(certificate: Path | None) -> ssl.SSLContext:
    context = httpx.create_ssl_context()
    if certificate is not None:
        context.load_verify_locations(certificate)
    return context
