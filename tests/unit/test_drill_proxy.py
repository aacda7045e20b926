"""The drill's door in front of S3, with sockets of its own."""

import socket
import struct
import time
from urllib.parse import urlsplit

import pytest

from clarity.drill.proxy import proxy

NOW = struct.pack("ii", 1, 0)
"""SO_LINGER: a close is a reset, as when the process is killed with something unread."""


def test_a_client_that_is_killed_leaves_no_traceback_between_the_results(capfd: pytest.CaptureFixture[str]) -> None:
    with proxy("http://127.0.0.1:9") as door:
        at = urlsplit(door.url)
        for _ in range(3):
            with socket.create_connection((at.hostname, at.port)) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NOW)
                client.sendall(b"GET /bucket/key HTT")
                time.sleep(0.05)  # the door reads by now
        with socket.create_connection((at.hostname, at.port)) as client:  # and goes on serving
            door.mode = "error"
            client.sendall(b"GET /bucket/key HTTP/1.1\r\nHost: door\r\nConnection: close\r\n\r\n")
            assert client.makefile("rb").read().startswith(b"HTTP/1.1 500")
    assert capfd.readouterr() == ("", "")
