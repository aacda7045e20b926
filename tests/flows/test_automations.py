"""Prefect's automation on a running server: a night that fails calls the webhook, whoever is left to say so."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from prefect import flow
from prefect.settings import PREFECT_API_URL, temporary_settings

from clarity.errors import SettingsError
from clarity.settings import Settings
from flows import automations

pytestmark = pytest.mark.stack
TOLD: list[dict[str, Any]] = []


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        TOLD.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hooked(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    monkeypatch.setenv("CLARITY_WEBHOOK_URL", f"http://127.0.0.1:{server.server_port}/s3cret")
    with temporary_settings({PREFECT_API_URL: settings.need("prefect_api_url")}):
        yield Settings.load()
    server.shutdown()
    server.server_close()


def test_a_flow_named_screen_that_fails_calls_the_webhook_once_applied_however_often(hooked: Settings) -> None:
    first = automations.apply(hooked)
    made = automations.apply(hooked)
    assert made.id == first.id

    @flow(name="screen")
    def screen() -> None:
        raise ValueError("inbox/Jane Doe.jpg")

    try:
        deadline = time.monotonic() + 60
        while not TOLD and time.monotonic() < deadline:  # the server's triggers learn of the automation in a moment
            with pytest.raises(ValueError, match="Jane"):
                screen()
            time.sleep(2)
    finally:
        made.delete()
    assert TOLD and TOLD[0]["status"] == "Failed" and TOLD[0]["flow"] == "screen"
    assert "Jane" not in json.dumps(TOLD)


def test_without_an_address_there_is_nobody_to_tell(settings: Settings) -> None:
    with pytest.raises(SettingsError, match="CLARITY_WEBHOOK_URL"):
        automations.apply(settings.model_copy(update={"webhook_url": None}))
