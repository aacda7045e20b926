"""Every named error as an HTTP status, in one table, answered as problem+json (RFC 9457)."""

from dataclasses import dataclass
from http import HTTPStatus

from clarity import errors
from clarity.errors import ClarityError, TooManyRequests
from serving.schemas import Problem


class RequestError(ClarityError):
    """A request that is not what the documentation asks for."""


class MalformedBody(RequestError):
    """The body cannot be parsed as what its content type says."""


class UnsupportedBody(RequestError):
    """The body is neither a form with a file nor an image."""


class MissingImage(RequestError):
    """The form has no file in the field that is asked for."""


class UnknownPath(RequestError):
    """Nothing is at this address."""


class UnknownMethod(RequestError):
    """The address has other methods."""

    def __init__(self, *said: object, allowed: str = "OPTIONS") -> None:
        super().__init__(*said)
        self.allowed = allowed


class InvalidParameter(RequestError):
    """A field or parameter that is not as documented; the message names it and not its value."""


class BodyTooLarge(RequestError):
    """More bytes than the service takes."""


class CallerLeft(ClarityError):
    """Who asked has gone: nobody reads this, the log and the figures do."""


class Overloaded(ClarityError):
    """As many photographs wait as the service takes."""


class Overdue(ClarityError):
    """No answer within the service's deadline: it is overloaded, or its worker was lost."""


@dataclass(frozen=True, slots=True)
class Situation:
    """How an error is told: ``code`` is stable and for programs, ``title`` for people."""

    status: int
    code: str
    title: str


TABLE: dict[type[ClarityError], Situation] = {
    MalformedBody: Situation(400, "malformed_body", "The body cannot be parsed"),
    BodyTooLarge: Situation(413, "body_too_large", "The body is too large"),
    errors.ImageTooLarge: Situation(413, "image_too_large", "The image is too large"),
    UnsupportedBody: Situation(415, "unsupported_body", "The body is of another kind"),
    errors.AccessRefused: Situation(401, "access_refused", "No key that is good"),
    errors.ScopeMissing: Situation(403, "scope_missing", "The key is not for this"),
    UnknownPath: Situation(404, "unknown_path", "There is nothing at this address"),
    errors.UnknownRecord: Situation(404, "unknown_record", "There is no such record"),
    UnknownMethod: Situation(405, "unknown_method", "The address has other methods"),
    errors.PatientExists: Situation(409, "patient_exists", "The external id is taken"),
    errors.AnotherPatient: Situation(409, "another_patients", "The photograph is another patient's"),
    errors.AnotherEye: Situation(409, "another_eye", "The photograph is of the other eye"),
    errors.AnotherVisit: Situation(409, "another_visit", "The photograph is of another visit"),
    errors.IdempotencyConflict: Situation(409, "idempotency_conflict", "The Idempotency-Key is taken"),
    errors.Erased: Situation(410, "erased", "The patient is erased"),
    MissingImage: Situation(422, "missing_image", "The image is missing"),
    InvalidParameter: Situation(422, "invalid_parameter", "A parameter is not as documented"),
    errors.PatientError: Situation(422, "invalid_patient", "The patient cannot be kept"),
    errors.InboxError: Situation(422, "invalid_capture", "The capture cannot be attributed"),
    errors.NotJudged: Situation(409, "not_judged", "No model has judged the scan"),
    errors.ReviewError: Situation(422, "invalid_review", "The review cannot be kept"),
    errors.UnreadableImage: Situation(422, "unreadable_image", "The photograph cannot be read"),
    errors.NotFundus: Situation(422, "not_a_fundus_photograph", "Not a fundus photograph"),
    errors.Ungradable: Situation(422, "ungradable", "The photograph is ungradable"),
    errors.TooManyRequests: Situation(429, "too_many_requests", "The key's requests are used up"),
    errors.NoChampion: Situation(503, "no_champion", "No model is promoted"),
    errors.BundleError: Situation(503, "bundle_refused", "The model is refused"),
    errors.InferenceError: Situation(503, "no_result", "The model gave no result"),
    errors.StorageError: Situation(503, "storage_unavailable", "A service behind this one does not answer"),
    errors.SealError: Situation(503, "identities_unavailable", "Who patients are cannot be read or kept"),
    errors.SettingsError: Situation(503, "not_configured", "The service is not configured"),
    errors.ParameterError: Situation(503, "misconfigured", "The service's configuration is refused"),
    CallerLeft: Situation(499, "caller_left", "The caller left"),
    Overloaded: Situation(503, "overloaded", "The service has enough to do"),
    Overdue: Situation(503, "overdue", "No answer in time"),
    ClarityError: Situation(500, "unexpected", "An error of the service"),
}
"""The nearest class of an error's ancestry decides."""

_RETRY_AFTER_S = "5"
_CHALLENGES = ('Bearer realm="Clarity"', 'Basic realm="Clarity", charset="UTF-8"')
"""Two headers, as not every browser reads two challenges from one."""
_HTTP_CODES = {404: "unknown_path", 405: "unknown_method", 413: "body_too_large", 422: "invalid_parameter"}
_LONGEST = 600


def situation(error: ClarityError) -> Situation:
    """The table's row for an error."""
    return next(TABLE[kind] for kind in type(error).__mro__ if kind in TABLE)


def problem(error: ClarityError, request_id: str) -> Problem:
    """A named error as it is answered."""
    row = situation(error)
    return _problem(row.status, row.code, row.title, _harmless(str(error)), request_id)


def plain_problem(status: int, request_id: str) -> Problem:
    """A status that no named error stands behind: a framework's own refusal, a crash."""
    title = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Error"
    if status >= 500:
        return _problem(status, "unexpected", title, "request: an error of the service, it is in the log", request_id)
    return _problem(
        status, _HTTP_CODES.get(status, "refused"), title, f"request: {title.lower()}, see /docs", request_id
    )


def headers(error: ClarityError) -> list[tuple[str, str]]:
    """What an error needs beside its body."""
    status = situation(error).status
    if isinstance(error, TooManyRequests):
        return [("Retry-After", str(error.retry_after_s))]
    if isinstance(error, UnknownMethod):
        return [("Allow", error.allowed)]
    if status == 401:
        return [("WWW-Authenticate", challenge) for challenge in _CHALLENGES]
    return [("Retry-After", _RETRY_AFTER_S)] if status == 503 else []


def _problem(status: int, code: str, title: str, detail: str, request_id: str) -> Problem:
    return Problem(
        type=f"urn:clarity:problem:{code}", title=title, status=status, detail=detail, code=code, request_id=request_id
    )


def _harmless(said: str) -> str:
    """One line of bounded length, whatever a library said."""
    line = "".join(letter if letter.isprintable() else " " for letter in said[:_LONGEST])
    return line if len(said) <= _LONGEST else f"{line}…"
