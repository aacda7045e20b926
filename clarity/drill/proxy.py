"""A door in front of a real S3 that can be slow, answer 500, say that the disk is full, or be shut."""

import http.client
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import urlsplit

Mode = Literal["open", "slow", "error", "full", "shut"]
_SLOW_S = 0.4
_HOP = {"connection", "transfer-encoding", "keep-alive"}
_ANSWERS: dict[str, tuple[int, str]] = {
    "error": (500, "InternalError"),
    "full": (507, "InsufficientStorage"),
}


class Proxy:
    """Its address, and what it does to requests from now on."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.mode: Mode = "open"


@contextmanager
def proxy(upstream: str) -> Iterator[Proxy]:
    """Serve on loopback until the end. Requests are passed on as they were signed: the store itself checks them."""
    target = urlsplit(upstream)
    server = _Server(("127.0.0.1", 0), _Handler)
    made = Proxy(f"http://127.0.0.1:{server.server_address[1]}")
    server.proxy, server.target = made, target.netloc  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed, as a drill does, is no error of the door's."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        mode: Mode = self.server.proxy.mode  # type: ignore[attr-defined]
        if mode == "shut":
            self.close_connection = True
        elif mode in _ANSWERS and (mode == "error" or self.command in ("PUT", "POST")):
            self._refuse(*_ANSWERS[mode])
        else:
            time.sleep(_SLOW_S if mode == "slow" else 0)
            self._pass(body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve  # noqa: N815  http.server calls them so

    def _pass(self, body: bytes) -> None:
        link = http.client.HTTPConnection(self.server.target, timeout=60)  # type: ignore[attr-defined]
        try:
            link.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                link.putheader(name, value)
            link.endheaders(body or None)
            answer = link.getresponse()
            data = answer.read()
        except OSError:
            self.close_connection = True  # the store is away: so is its door
            return
        finally:
            link.close()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP | {"content-length"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(answer.getheader("Content-Length") or len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _refuse(self, status: int, code: str) -> None:
        text = b"" if self.command == "HEAD" else f"<Error><Code>{code}</Code></Error>".encode()
        self.send_response_only(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        """Keys of objects are nobody's business here."""
