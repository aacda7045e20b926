"""The webhook of a night that failed, against a real server that answers, stalls or refuses."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from clarity.screening.report import notify
from tests.reporting import summary

Answers = list[int]
FAILED: dict[str, Any] = {"status": "failed", "limits_passed": ["ungradable: 5 of 9"], "errors": ["inbox/Jane Doe.jpg"],
                          "error_count": 1}  # fmt: skip


class Hook:
    """A service that answers what it is told to, one answer a request, the last one for ever. 0 stalls."""

    def __init__(self, answers: Answers) -> None:
        self.bodies: list[dict[str, Any]] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["Content-Length"]))
                hook.bodies.append(json.loads(data))
                status = answers.pop(0) if len(answers) > 1 else answers[0]
                if not status:
                    time.sleep(0.6)
                self.send_response(status or 200)
                self.send_header("Location", "http://127.0.0.1:9/elsewhere")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a caller who hangs up
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hooks/s3cret-t0ken?x=y z"


@pytest.fixture
def hook() -> Iterator[Callable[..., Hook]]:
    made: list[Hook] = []

    def make(*answers: int) -> Hook:
        made.append(Hook(list(answers)))
        return made[-1]

    yield make
    for one in made:
        one.server.shutdown()
        one.server.server_close()


def test_a_failed_night_is_told_with_its_figures_and_without_a_file_or_a_patient(hook: Callable[..., Hook]) -> None:
    service = hook(204)
    told = notify.about(summary(**FAILED), service.url)
    assert told.notified == "the webhook was told"
    (body,) = service.bodies
    assert (body["run"], body["status"]) == (told.run, "failed")
    assert body["sentences"] == ["ungradable: 5 of 9", "1 failure, named in the report"]
    assert body["counts"]["scored"] == 90 and body["counts"]["outcomes"]["refer"] == 5
    assert "Jane" not in json.dumps(body) and "not a medical device" in body["notice"]


def test_a_night_that_completed_tells_nobody_and_one_without_an_address_says_so(hook: Callable[..., Hook]) -> None:
    service = hook(204)
    assert notify.about(summary(), service.url).notified is None
    assert service.bodies == []
    assert "CLARITY_WEBHOOK_URL is not set" in (notify.about(summary(**FAILED), None).notified or "")


@pytest.mark.parametrize(
    ("answers", "calls", "said"),
    [
        ((503, 429, 200), 3, "the webhook was told"),
        ((0, 204), 2, "the webhook was told"),  # stalls once
        ((500,), 3, "the webhook was not told: HTTP 500, refused by its service after 3 attempts"),
        ((403,), 1, "the webhook was not told: HTTP 403, refused by its service"),
        (
            (302,),
            1,
            "the webhook was not told: HTTP 302, refused by its service",
        ),  # not followed
    ],
)
def test_what_may_pass_is_tried_again_and_what_may_not_is_not(
    hook: Callable[..., Hook], answers: tuple[int, ...], calls: int, said: str
) -> None:
    service = hook(*answers)
    told = notify.about(summary(**FAILED), service.url, delays_s=(0.01, 0.01), timeout_s=0.3)
    assert told.notified == said
    assert len(service.bodies) == calls
    assert told.status == "failed" and told.limits_passed == ["ungradable: 5 of 9"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:9/s3cret", "ConnectError after 2 attempts"),
        ("ftp://example.org/s3cret", "not an address of http or https"),
        ("s3cret", "not an address of http or https"),
        ("http://[s3cret", "was not told"),
        ("http://127.0.0.1:99999999/s3cret", "was not told"),
    ],
)
def test_an_address_that_leads_nowhere_hides_no_verdict(url: str, said: str) -> None:
    told = notify.about(summary(**FAILED), url, delays_s=(0.01,), timeout_s=0.5)
    assert said in (told.notified or "") and "s3cret" not in (told.notified or "")
    assert told.status == "failed"


def test_the_address_is_in_no_log_line(hook: Callable[..., Hook], caplog: pytest.LogCaptureFixture) -> None:
    for name in (None, "httpx", "httpcore"):
        caplog.set_level(logging.DEBUG, logger=name)
    service = hook(500)
    notify.about(summary(**FAILED), service.url, delays_s=(0.01,))
    assert "s3cret" not in caplog.text and "127.0.0.1" not in caplog.text
    logging.getLogger("httpx").info("another thread's request")
    assert "another thread's request" in caplog.text  # and they speak again


def test_a_night_without_a_report_is_told_too(hook: Callable[..., Hook]) -> None:
    service = hook(200)
    assert notify.about_death("r1", service.url) == "the webhook was told"
    assert service.bodies[0]["run"] == "r1" and "run it again" in service.bodies[0]["sentences"][0]
    assert "not set" in notify.about_death("r1", None)
