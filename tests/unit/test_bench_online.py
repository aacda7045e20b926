"""The client of the bench costs little and counts honestly; the usual way answers what the same network says."""

import base64
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clarity.bench import network as nets
from clarity.bench import serving
from clarity.bench.online import bundles, changes, crowd, single
from clarity.bench.online.caller import BATCH, PATH, Caller, get, upload
from clarity.bench.online.calling import Called, calling, percentile
from clarity.bench.online.load import Call, Order
from clarity.bench.online.server import free_port
from clarity.bench.online.server import serving as serving_process
from clarity.bench.rows import Row
from clarity.errors import InferenceError
from clarity.inference import bundle, export

ANSWER = {
    "model_version": "7",
    "grade": 1,
    "probabilities": [0.1, 0.6, 0.1, 0.1, 0.1],
    "heatmap": {"cells": [[0.0, 1.0], [2.0, 3.0]]},
}


class _Server(ThreadingHTTPServer):
    """Answers by ``answer(number of the request)``; remembers bodies, and from how many connections they came."""

    daemon_threads, request_queue_size = True, 64

    def __init__(self, answer: Callable[[int], tuple[int, object]]) -> None:
        self.answer, self.bodies = answer, list[tuple[str, str, bytes]]()
        self.connections, self.lock = set[Any](), threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def at(self) -> tuple[str, int]:
        return ("127.0.0.1", self.server_port)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        with self.server.lock:
            self.server.bodies.append((self.path, self.headers["content-type"], body))
            self.server.connections.add(self.client_address)
            number = len(self.server.bodies)
        status, said = self.server.answer(number)
        text = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text) + (10 if status == 299 else 0)))
        self.end_headers()
        self.wfile.write(text)
        self.close_connection = status in (299, 298)  # cut off; or whole, and closed while nothing is asked

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def stub(answer: Callable[[int], tuple[int, object]]) -> Iterator[_Server]:
    with _Server(answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def order(server: _Server, tmp_path: Path, **more: Any) -> Order:
    file = tmp_path / "request"
    file.write_bytes(upload(server.at, [b"photograph"]))
    return Order(*server.at, (str(file),), **({"callers": 4, "seconds": 0.5} | more))


def test_one_connection_carries_request_after_request() -> None:
    with stub(lambda number: (200, {"number": number})) as server, Caller(server.at) as caller:
        request = upload(server.at, [b"photograph" * 50_000])
        said = [caller.call(request) for _ in range(3)]
        assert [one.status for one in said] == [200] * 3
        assert [json.loads(one.body)["number"] for one in said] == [1, 2, 3]
        assert len(server.connections) == 1


def test_a_connection_that_was_closed_while_idle_is_made_anew() -> None:
    with stub(lambda _: (298, "whole")) as server, Caller(server.at) as caller:
        for _ in range(2):
            assert caller.call(upload(server.at, [b"x"])).status == 298
            time.sleep(0.1)
        assert len(server.connections) == 2


def test_what_is_cut_off_or_not_there_is_no_answer() -> None:
    with stub(lambda _: (299, "half")) as server, Caller(server.at) as caller:
        assert caller.call(upload(server.at, [b"x"])).status == 0
        gone = server.at
    with Caller(gone) as caller:
        assert caller.call(get(gone, "/ready")).status == 0


@pytest.mark.parametrize(("path", "photographs"), [(PATH, [b"one\r\n--"]), (BATCH, [b"one", b"two"])])
def test_the_request_is_a_form_as_others_send_it(path: str, photographs: list[bytes]) -> None:
    import email.policy
    from email.parser import BytesParser

    with stub(lambda _: (200, {})) as server, Caller(server.at) as caller:
        caller.call(upload(server.at, photographs, path=path, key="clarity_key"))
        where, kind, body = server.bodies[0]
    assert where == path
    form = BytesParser(policy=email.policy.HTTP).parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
    parts = list(form.iter_parts())
    assert [part.get_payload(decode=True) for part in parts] == photographs
    assert {part.get_param("name", header="content-disposition") for part in parts} == {
        "image" if path == PATH else "images"
    }


def test_callers_count_every_answer_by_its_status(tmp_path: Path) -> None:
    statuses = (200, 503, 429, 299)
    with stub(lambda number: (statuses[number % 4], {})) as server:
        with calling(order(server, tmp_path)) as client:
            called = client.called()
        assert called.statuses.keys() == {200, 503, 429, 0}
        assert sum(called.statuses.values()) == len(called.calls) == len(server.bodies)
    assert len(called.accepted) == called.statuses[200] and called.accepted == sorted(called.accepted)
    assert 0.5 <= called.seconds < 60 and called.cpu_s > 0


def test_requests_come_at_their_rate_however_slow_the_answers_are(tmp_path: Path) -> None:
    def slow(_: int) -> tuple[int, object]:
        time.sleep(0.3)
        return 200, {}

    with stub(slow) as server, calling(order(server, tmp_path, callers=40, seconds=1.0, rate=50.0)) as client:
        called = client.called()
    began = sorted(call.began for call in called.calls)
    assert len(began) >= 40
    assert sum(at < began[0] + 1.0 for at in began) <= 51
    assert began[-1] - began[0] == pytest.approx(len(began) / 50, abs=0.25)


def test_a_new_version_is_told_at_once_and_the_end_is_the_bench_s(tmp_path: Path) -> None:
    def answer(number: int) -> tuple[int, object]:
        time.sleep(0.01)
        return 200, ANSWER | {"model_version": "7" if number <= 60 else "8"}

    with stub(answer) as server, calling(order(server, tmp_path, seconds=None, keep=True)) as client:
        assert client.until(lambda said: said.get("seen") == "8")
        assert client.until(lambda said: said.get("answered", 0) >= 100)
        client.stop()
        called = client.called()
    assert len(called.calls) >= 100 and called.calls[0].found == [
        {"version": "7", "grade": 1, "probabilities": ANSWER["probabilities"], "cells": [[0.0, 1.0], [2.0, 3.0]]}
    ]


def test_a_client_that_fails_gives_no_figures(tmp_path: Path) -> None:
    wrong = Order("127.0.0.1", 1, (str(tmp_path / "missing"),), 1, 0.1)
    with calling(wrong) as client, pytest.raises(InferenceError, match="client process: ended with 1"):
        client.called()


def said(version: str, number: int) -> dict[str, Any]:
    shift = 0.1 * int(version) + 0.01 * number
    cells = [[shift, 1.0], [2.0, 3.0 + shift]]
    return {"version": version, "grade": 1, "probabilities": [0.2 + shift, 0.8 - shift, 0, 0, 0], "cells": cells}


def known() -> changes.Known:
    return {
        version: [
            changes.Expected(1, tuple(one["probabilities"]), np.array(one["cells"], np.float32))
            for one in (said(version, number) for number in range(3))
        ]
        for version in ("1", "2")
    }


@pytest.mark.parametrize(
    ("request_", "found", "whole"),
    [
        (1, [said("1", 1)], True),
        (0, [said("2", 0)], True),
        (1, [said("1", 0)], False),
        (1, [said("1", 1) | {"version": "2"}], False),
        (1, [said("1", 1) | {"cells": said("2", 1)["cells"]}], False),
        (1, [said("1", 1) | {"probabilities": said("2", 1)["probabilities"]}], False),
        (1, [said("1", 1) | {"version": "3"}], False),
        (3, [said("1", 0), said("1", 1)], True),
        (3, [said("1", 0), said("2", 1)], False),
        (3, [said("1", 1), said("1", 0)], False),
    ],
)
def test_an_answer_of_two_versions_is_found(request_: int, found: list[dict[str, Any]], whole: bool) -> None:
    assert changes.is_whole(Call(request_, 0.0, 0.1, 200, found), known()) is whole


def test_versions_that_say_the_same_of_a_photograph_are_no_test() -> None:
    changes.distinct(known())
    same = {"1": known()["1"], "2": [known()["1"][0], *known()["2"][1:]]}
    with pytest.raises(InferenceError, match="photograph 0: versions 1 and 2 say the same of it"):
        changes.distinct(same)


CALLED = Called([Call(0, 0.0, 0.1 + 0.001 * number, 200) for number in range(100)], 10.0, 1.0)


def test_an_overload_holds_where_only_429_and_503_are_refused_memory_is_flat_and_the_tail_short() -> None:
    refused = [Call(0, 0.0, 0.01, status) for status in (429, 503)]
    rows = crowd.overload_rows(replace(CALLED, calls=CALLED.calls + refused), [100.0] * 9, 5.0, 10.0)
    assert [row.name for row in rows] == ["serving.overload", "serving.overload.failed", "serving.overload.memory"]
    assert all(row.holds for row in rows)
    assert rows[0].value == pytest.approx(0.199 / 0.15, rel=0.02)


@pytest.mark.parametrize(
    ("calls", "held", "broken"),
    [
        ([Call(0, 0.0, 0.1, 500)], [100.0] * 9, 1),
        ([Call(0, 0.0, 0.1, 0)], [100.0] * 9, 1),
        ([], [100.0] * 3 + [105.0] * 3 + [110.0] * 3, 2),
        ([Call(0, 0.0, 9.0, 200)] * 3, [100.0] * 9, 0),
    ],
)
def test_an_overload_breaks_by_an_error_by_memory_or_by_its_tail(
    calls: list[Call], held: list[float], broken: int
) -> None:
    rows = crowd.overload_rows(replace(CALLED, calls=CALLED.calls + calls), held, 5.0, 10.0)
    assert [index for index, row in enumerate(rows) if not row.holds] == [broken]


def test_a_service_that_accepts_nothing_does_not_hold() -> None:
    nothing = replace(CALLED, calls=[Call(0, 0.0, 0.1, 503)] * 5)
    assert not crowd.overload_rows(nothing, [100.0], 5.0, 10.0)[0].holds
    assert np.isnan(percentile([], 0.5)) and not Row("a", float("nan"), "s", 5.0, more_is_better=False).holds


def test_the_usual_way_serves_the_same_network(tmp_path: Path) -> None:
    pytest.importorskip("pytorch_grad_cam", reason="grad-cam: not installed (clarity[bench])")
    network, photograph = nets.resnet(1, 150.0), nets.one_megapixel()
    export.export(network, nets.SIZE, tmp_path / "graph")
    made = bundle.write(tmp_path / "bundle", graph=tmp_path / "graph", facts=bundles.facts())
    torch.save(bundles.usual(network), tmp_path / "weights.pt")
    with serving.peer(tmp_path / "weights.pt") as usual, Caller(usual.address) as caller:
        assert usual.resident_mb() > 100 and usual.cpu_s() > 0
        body = single.answer(caller, upload(usual.address, [photograph], path="/predict"))
    single.check_peer(body, made, photograph)
    answer = json.loads(body)
    assert base64.b64decode(answer["heatmap"]["data"]).startswith(b"\x89PNG")
    answer["probabilities"] = answer["probabilities"][::-1]
    with pytest.raises(InferenceError, match="peer: probabilities"):
        single.check_peer(json.dumps(answer).encode(), made, photograph)


def test_a_server_that_does_not_come_up_says_its_last_words() -> None:
    command = [sys.executable, "-c", "raise SystemExit('weights: none')"]
    port = free_port()
    with pytest.raises(InferenceError, match=r"(?s)not ready.*weights: none"), serving_process(command, port, {}):
        pass
