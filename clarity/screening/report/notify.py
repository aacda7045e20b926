"""Telling somebody that a night failed: a webhook, by HTTP POST. What became of that is part of the report.

The address is a secret (it holds a token with most services): it is in no log line, no error and no report.
"""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from clarity.screening.report.page import many
from clarity.screening.report.summary import NOTICE, Summary

DELAYS_S = (1.0, 4.0, 10.0)
"""Between attempts."""
TIMEOUT_S = 5.0
"""Of one attempt."""
_COUNTED = ("registered", "scored", "ungradable", "quarantined", "quarantined_new", "failed", "recapture", "abstained",
            "waiting_for_a_person")  # fmt: skip
_TELLTALES = ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy")
_NOT_SET = "nobody was told: CLARITY_WEBHOOK_URL is not set"


def about(
    summary: Summary, url: str | None, *, delays_s: Sequence[float] = DELAYS_S, timeout_s: float = TIMEOUT_S
) -> Summary:
    """Tell of a night that failed, and say in the summary what became of that; a night that completed is not told.

    Never raises: the night's own verdict is not hidden by a hook that fails.
    """
    if summary.status == "completed":
        return summary
    if not url:
        return replace(summary, notified=_NOT_SET)
    fault = post(url, payload(summary), delays_s=delays_s, timeout_s=timeout_s)
    return replace(summary, notified=fault or "the webhook was told")


def about_death(run_id: str, url: str | None, *, delays_s: Sequence[float] = DELAYS_S) -> str:
    """Tell of a night that could not even write its report; returns what became of the message."""
    said = "the night ended without its report: PostgreSQL or the object store stayed away; run it again"
    told = {"run": run_id, "status": "failed", "sentences": [said], "counts": {}, "notice": NOTICE}
    return (post(url, told, delays_s=delays_s) or "the webhook was told") if url else _NOT_SET


def payload(summary: Summary) -> dict[str, Any]:
    """What the webhook is sent: figures and our own sentences, no name of a file and nothing of a patient.

    The sentences of failures may hold keys of the inbox, as clinics named them: their number is sent, not they.
    """
    sentences = list(summary.limits_passed)
    if summary.error_count:
        sentences.append(f"{many(summary.error_count, 'failure')}, named in the report")
    return {
        "run": summary.run,
        "kind": summary.kind,
        "status": summary.status,
        "model": summary.model,
        "model_version": summary.model_version,
        "sentences": sentences,
        "counts": {name: getattr(summary, name) for name in _COUNTED} | {"outcomes": summary.outcomes},
        "report": summary.report,
        "notice": summary.notice,
    }


def post(
    url: str, body: dict[str, Any], *, delays_s: Sequence[float] = DELAYS_S, timeout_s: float = TIMEOUT_S
) -> str | None:
    """POST as JSON; again after a refused connection, a timeout, 429 or 5xx. None, or why it was not taken."""
    fault: str | None = None
    with _unlogged():
        for delay in (*delays_s, None):
            fault, may_pass = _attempt(url, body, timeout_s)
            if fault is None:
                return None
            if not may_pass:
                return f"the webhook was not told: {fault}"
            if delay is not None:
                time.sleep(delay)
    return f"the webhook was not told: {fault} after {many(len(delays_s) + 1, 'attempt')}"


def _attempt(url: str, body: dict[str, Any], timeout_s: float) -> tuple[str | None, bool]:
    """What was wrong, and whether it may pass. The answer's body is not read: it is of no use, and may be endless."""
    import httpx

    try:
        with httpx.stream("POST", url, json=body, timeout=timeout_s, follow_redirects=False) as answer:
            status = answer.status_code
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        return "CLARITY_WEBHOOK_URL is not an address of http or https", False
    except httpx.HTTPError as error:
        return type(error).__name__, True
    if 200 <= status < 300:
        return None, False
    return f"HTTP {status}, refused by its service", status == 429 or status >= 500


class _NotMine(logging.Filter):
    """Drops the records of one thread."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()

    def filter(self, record: logging.LogRecord) -> bool:
        return record.thread != self._thread


@contextmanager
def _unlogged() -> Iterator[None]:
    """httpx logs the address of every request, which here is a secret; other threads' requests are left alone."""
    loggers = [logging.getLogger(name) for name in _TELLTALES]
    silent = _NotMine()
    for logger in loggers:
        logger.addFilter(silent)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(silent)
