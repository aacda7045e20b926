"""What can become of a request, each a class of its own; all of them are :class:`clarity.errors.ClarityError`."""

from collections.abc import Mapping
from typing import Any

from clarity.errors import ClarityError


class ClientError(ClarityError):
    """Base of what a :class:`~clarity.client.Client` raises."""


class NotConfigured(ClientError):
    """No address, or one that is none."""


class Unreachable(ClientError):
    """Nobody answered at the address, or the connection broke, as often as it was tried."""


class Misunderstood(ClientError):
    """An answer of 2xx that is not what the documentation says: something else listens at the address."""


class Refused(ClientError):
    """The service answered with an error. ``code`` is stable and for programs, ``detail`` a sentence for people."""

    def __init__(
        self, status: int, code: str, detail: str, request_id: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(status, code, detail, request_id, retry_after)
        self.status = status
        self.code = code
        self.detail = detail
        self.request_id = request_id
        """By which the service's log knows it."""
        self.retry_after = retry_after
        """Seconds, where the service says when to try again."""

    def __str__(self) -> str:
        known = f" (request {self.request_id})" if self.request_id else ""
        return f"{self.code}: {self.detail}{known}"


class RequestInvalid(Refused):
    """400, 405, 413, 415, 422: the request, or a photograph in it, is not what is taken."""


class KeyRefused(Refused):
    """401: no key, an unknown, expired or revoked one."""


class ScopeMissing(Refused):
    """403: a key that is good, and not for this."""


class NotFound(Refused):
    """404: no such record."""


class Conflict(Refused):
    """409: another's external id or photograph, another eye or visit of it, an Idempotency-Key used before."""


class Gone(Refused):
    """410: who this patient was has been erased."""


class TooManyRequests(Refused):
    """429: more than the key may make in a minute."""


class Unavailable(Refused):
    """502, 503, 504: no model, no database, too much to do; the same call may succeed later."""


class ServiceFault(Refused):
    """Another 5xx: an error of the service, which is in its log under ``request_id``."""


_BY_STATUS: dict[int, type[Refused]] = {
    **dict.fromkeys((400, 405, 413, 415, 422), RequestInvalid),
    401: KeyRefused,
    403: ScopeMissing,
    404: NotFound,
    409: Conflict,
    410: Gone,
    429: TooManyRequests,
    **dict.fromkeys((502, 503, 504), Unavailable),
}


def refused(
    status: int, problem: Mapping[str, Any], request_id: str | None = None, retry_after: float | None = None
) -> Refused:
    """The error that a status and its problem document are; an empty one where a proxy answers, which knows none."""
    kind = _BY_STATUS.get(status, ServiceFault if status >= 500 else Refused)
    code, detail = problem.get("code", f"http_{status}"), problem.get("detail", "refused without a reason")
    return kind(status, str(code), str(detail), problem.get("request_id") or request_id, retry_after)
