"""Requests that are tried again where that is safe, and only there.

Safe is what changes nothing (GET) and what carries an Idempotency-Key, which the service does once. Waits grow and are
jittered, so that many clients of a service that comes back do not come back together; ``Retry-After`` is honoured.
"""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from clarity.client.errors import Misunderstood, Refused, Unreachable, refused

IDEMPOTENCY_KEY = "Idempotency-Key"
_TRANSIENT = frozenset({429, 502, 503})
_MOST_OF_A_BODY = 200


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a call is tried: ``attempts`` at most, and no wait that would end after ``total_s``."""

    attempts: int = 5
    first_wait_s: float = 0.2
    longest_wait_s: float = 10.0
    total_s: float = 60.0

    def wait_s(self, failures: int) -> float:
        """Between half and all of first_wait_s · 2^(failures - 1)."""
        full = min(self.longest_wait_s, self.first_wait_s * 2.0 ** (failures - 1))
        return full * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret


class Transport:
    """Sends requests of one client."""

    def __init__(self, http: httpx.Client, patience: Patience, sleep: Callable[[float], None] = time.sleep) -> None:
        self.http = http
        self.patience = patience
        self._sleep = sleep

    def send(self, method: str, path: str, *, accept: frozenset[int] = frozenset(), **request: Any) -> httpx.Response:
        """The answer of a 2xx, or of a status in ``accept``. Raises Unreachable, Refused."""
        started, failures = time.monotonic(), 0
        safe = method == "GET" or IDEMPOTENCY_KEY in request.get("headers", {})
        while True:
            found = self._once(method, path, accept, request)
            if isinstance(found, httpx.Response):
                return found
            failures += 1
            wait = max(self.patience.wait_s(failures), getattr(found, "retry_after", None) or 0.0)
            left = self.patience.total_s - (time.monotonic() - started)
            if not safe or not _passes(found) or failures >= self.patience.attempts or wait > left:
                raise found
            self._sleep(wait)

    def _once(
        self, method: str, path: str, accept: frozenset[int], request: Mapping[str, Any]
    ) -> httpx.Response | Unreachable | Refused:
        try:
            response = self.http.request(method, path, **request)
        except httpx.TransportError as error:
            # The address may hold a record's id, never a person's; the error's own text may hold more.
            return Unreachable(f"{method} {self.http.base_url}: {type(error).__name__}, no answer")
        if response.is_success or response.status_code in accept:
            return response
        return refusal(response)


def refusal(response: httpx.Response) -> Refused:
    """A status that is not 2xx as a named error."""
    try:
        said = response.json()
    except ValueError:
        said = None
    problem = said if isinstance(said, dict) else {}
    after = _seconds(response.headers.get("Retry-After", ""))
    return refused(response.status_code, problem, response.headers.get("X-Request-Id"), after)


def document(response: httpx.Response) -> Mapping[str, Any]:
    """The JSON object of an answer. Raises Misunderstood."""
    try:
        said = response.json()
    except ValueError:
        said = None
    if isinstance(said, dict):
        return said
    kind = response.headers.get("Content-Type", "no content type")[:_MOST_OF_A_BODY]
    raise Misunderstood(f"{response.request.url.host}: HTTP {response.status_code} of {kind}, not Clarity's API")


def _passes(error: Unreachable | Refused) -> bool:
    return isinstance(error, Unreachable) or error.status in _TRANSIENT


def _seconds(said: str) -> float | None:
    """Of a Retry-After: seconds, or a date."""
    if said.strip().isdecimal():
        return float(said)
    try:
        when = parsedate_to_datetime(said)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())
