"""The bench of the online service, on a tiny network and for seconds: every row comes from a really running service."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from clarity.bench.online import changes, crowd, place, single
from clarity.bench.online.place import Place
from clarity.bench.online.plan import Plan
from clarity.bench.online.server import Server
from clarity.bench.serving import start
from clarity.inference.bundle import Bundle
from clarity.settings import Settings
from tests import tiny
from tests.unit.test_bench_online import stub

PLAN = Plan(calls=4, peer_calls=2, callers=8, load_s=2.0, alone_s=0.6, requests=60, overload_s=4.0, starts=1)
PHOTOGRAPHS = tuple(tiny.jpeg(tiny.eye(seed=seed)) for seed in range(6))


@pytest.fixture
def here(settings: Settings, tiny_bundles: list[Bundle], tmp_path: Path) -> Iterator[Place]:
    often = tmp_path / "often.yaml"  # the registry is asked, so that a change is not waited for under full load
    often.write_text("serving:\n  follow_s: 0.3\n")
    with place.furnished(settings, tiny_bundles, PHOTOGRAPHS, tmp_path) as made:
        yield replace(made, configuration=(*made.configuration, often))


@pytest.mark.stack
def test_the_rows_of_the_service(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single, "check_peer", lambda *_: None)  # tested by itself, it needs a network of 224 pixels
    with here.serve() as server, stub(lambda _: (200, {})) as usual:
        peer = Server(usual.at, server.process, 0.0)
        overhead, faster = single.rows(here, server, peer, PLAN)
        many = crowd.throughput(here, server, PLAN)
        whole, seen = changes.rows(here, server, PLAN)
        flood = crowd.overload(here, server, float(many.detail["images_a_second"]), PLAN)
        begun = start([9.0, server.started_s])
    assert overhead.name == "serving.overhead_ms" and float(overhead.detail["http_p50_ms"]) > 0
    assert overhead.detail["calls"] == "4" and faster.detail["peer_calls"] == "2"
    assert (faster.name, faster.target, many.name, many.target) == ("serving.peer", 6.0, "serving.throughput", 0.7)
    assert many.value > 0 and set(str(many.detail["statuses"]).split(":")[:1]) == {"200"}
    assert (whole.name, whole.value) == ("serving.promotions", 0.0), whole.detail
    assert len(str(whole.detail["versions"]).split()) == 3 and int(str(whole.detail["requests"])) >= 60
    assert 0 < seen.value < 60 and len(seen.detail) == 6
    assert [row.name for row in flood] == ["serving.overload", "serving.overload.failed", "serving.overload.memory"]
    assert flood[1].holds, flood
    assert (begun.name, begun.value) == ("serving.start_s", server.started_s)
