"""A champion that changes while photographs are graded: nobody notices, and one that fails never serves."""

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine

from clarity.inference import spec as specs
from clarity.inference.bundle import Bundle
from clarity.records import ModelRef
from clarity.registry import ledger, promotion
from clarity.registry.models import Registry
from clarity.settings import Settings
from clarity.storage import database
from tests import tiny
from tests.integration.registering import new_name, new_run
from tests.serving.live import Live, serving, until

pytestmark = pytest.mark.stack
EYE = tiny.jpeg(tiny.eye())
WITHIN_S = 30.0
"""Patience with a busy machine; how soon a promotion is seen is `clarity bench serving`'s to measure."""
THRESHOLDS = (0.4, 0.41, 0.42)
"""One a bundle, so that an answer shows which model it really comes from."""


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    folder = tmp_path_factory.mktemp("bundles")
    made = []
    for number, threshold in enumerate(THRESHOLDS):
        (folder / str(number)).mkdir()
        given = specs.Thresholds(referable=threshold, vision_threatening=0.3)
        made.append(tiny.write_bundle(folder / str(number), tiny.TinyNetwork(number), thresholds=given))
    return made


@dataclass
class Champions:
    """A model of the test's own: promoted and rolled back as people do."""

    settings: Settings
    name: str = field(default_factory=new_name)
    thresholds: dict[str, float] = field(default_factory=dict)

    @property
    def registry(self) -> Registry:
        return Registry(self.settings.need("mlflow_tracking_uri"))

    @cached_property
    def engine(self) -> Engine:
        return database.engine(self.settings.need("database_url"))

    def register(self, bundle: Bundle) -> ModelRef:
        ref = self.registry.register(bundle.path, new_run(self.registry), self.name)
        self.thresholds[ref.version] = bundle.spec.thresholds.referable
        return ref

    def promote(self, ref: ModelRef) -> str:
        return promotion.promote(self.registry, self.engine, ref, actor="test", reasons=["test"]).version

    def roll_back(self) -> str:
        return promotion.rollback(self.registry, self.engine, self.name, actor="test", reasons=["test"]).version

    def refusals(self) -> list[ledger.Entry]:
        return [entry for entry in ledger.history(self.engine, self.name) if entry.action == "refused"]

    def serving(self, home: Path) -> AbstractContextManager[Live]:
        named = home.with_suffix(".yaml")
        named.write_text(f"model:\n  name: {self.name}\nserving:\n  follow_s: 0.5\n")
        environment = self.settings.environment()
        environment = {k: v for k, v in environment.items() if k not in ("CLARITY_HOME", "CLARITY_PROJECT")}
        return serving(home, configuration=[named], **environment)


@pytest.fixture
def champions(settings: Settings) -> Iterator[Champions]:
    made = Champions(settings)
    yield made
    made.engine.dispose()


class Callers:
    """Three that ask without a pause, until they are told to stop."""

    def __init__(self, live: Live) -> None:
        self.answers: list[httpx.Response] = []
        self._live, self._over = live, threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(3)]

    def __enter__(self) -> "Callers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    def _ask(self) -> None:
        with self._live.client as client:
            while not self._over.is_set():
                self.answers.append(client.post("/v1/predict", content=EYE, headers={"content-type": "image/jpeg"}))

    def served(self, version: str) -> bool:
        """Whether the latest answer is of that version."""
        return bool(self.answers) and self.answers[-1].json().get("model_version") == version


def test_promotions_and_a_rollback_reach_the_service_and_no_caller_notices(
    champions: Champions, bundles: list[Bundle], tmp_path: Path
) -> None:
    refs = [champions.register(bundle) for bundle in bundles]
    champions.promote(refs[0])
    with champions.serving(tmp_path / "home") as live, Callers(live) as callers:
        until(lambda: callers.served(refs[0].version))
        for change in (lambda: champions.promote(refs[1]), lambda: champions.promote(refs[2]), champions.roll_back):
            version = change()
            until(lambda version=version: callers.served(version), within_s=WITHIN_S)  # type: ignore[misc]
        worker = live.ready()["workers"][0]
        with live.client as client:
            card = client.get("/v1/model").json()
    assert (worker["generation"], worker["version"]) == (4, refs[1].version)
    assert (card["version"], card["referable_threshold"]) == (refs[1].version, THRESHOLDS[1])
    assert "qwk" in card["metrics"] and card["card"].startswith("#")
    assert {answer.status_code for answer in callers.answers} == {200}
    mixed = [a.json() for a in callers.answers if a.json()["referable_threshold"] != _threshold(champions, a)]
    assert not mixed
    assert {a.json()["model_version"] for a in callers.answers} == set(champions.thresholds)


@pytest.mark.parametrize("how", ["canaries", "network"])
def test_a_champion_that_fails_is_refused_and_the_old_one_serves_on(
    champions: Champions, bundles: list[Bundle], tmp_path: Path, how: str
) -> None:
    good = champions.register(bundles[0])
    bad = champions.register(tiny.broken(bundles[1], tmp_path, how))
    champions.promote(good)
    with champions.serving(tmp_path / "home") as live, Callers(live) as callers:
        until(lambda: callers.served(good.version))
        champions.promote(bad)
        until(lambda: live.ready()["workers"][0]["refused_version"] == bad.version, within_s=WITHIN_S)
        until(lambda: bool(champions.refusals()), within_s=30)
        said = live.ready()
        assert (said["status"], said["model"]["state"]) == ("ready", "ok")
        assert f"version {bad.version} is refused" in said["model"]["reason"]
        with live.client as client:
            assert 'clarity_model_refused{worker="0"} 1.0' in client.get("/metrics").text
        time.sleep(2.0)  # several questions later
        (row,) = champions.refusals()
        assert row.version == bad.version and row.actor.startswith("serving ")
        assert champions.roll_back() == good.version
        until(lambda: live.ready()["workers"][0]["refused_version"] == "", within_s=WITHIN_S)
    assert {answer.status_code for answer in callers.answers} == {200}
    assert {answer.json()["model_version"] for answer in callers.answers} == {good.version}
    assert live.log.read_text().count("is refused") == 1


def test_without_a_champion_it_is_up_says_why_it_is_not_ready_and_serves_the_first_that_comes(
    champions: Champions, bundles: list[Bundle], tmp_path: Path
) -> None:
    with champions.serving(tmp_path / "home") as live:
        with live.client as client:
            assert client.get("/health").status_code == 200
            assert client.get("/ready").status_code == 503
            assert client.get("/v1/model").json()["code"] == "no_champion"
        said = live.ready()
        assert [said[part]["state"] for part in ("model", "database", "objects", "registry")] == [
            "failed",
            "ok",
            "ok",
            "ok",
        ]
        assert champions.name in said["model"]["reason"]
        answer = live.predict(EYE)
        assert (answer.status_code, answer.json()["code"]) == (503, "no_champion")
        version = champions.promote(champions.register(bundles[0]))
        until(lambda: live.predict(EYE).status_code == 200, within_s=WITHIN_S)
        assert live.predict(EYE).json()["model_version"] == version
        assert live.ready()["status"] == "ready"
        worker = live.worker()
        worker.kill()  # its replacement begins with the same model, and counts on
        until(lambda: live.ready()["workers"][:1] != [] and live.ready()["workers"][0]["generation"] == 2)
        assert live.predict(EYE).json()["model_version"] == version


def test_without_mlflow_it_serves_the_model_that_it_has(
    champions: Champions, bundles: list[Bundle], tmp_path: Path
) -> None:
    version = champions.promote(champions.register(bundles[0]))
    with Stoppable(champions.settings.need("mlflow_tracking_uri")) as between:
        champions.settings = champions.settings.model_copy(update={"mlflow_tracking_uri": between.address})
        with champions.serving(tmp_path / "home") as live:
            assert live.predict(EYE).json()["model_version"] == version
            between.stop()
            until(lambda: live.ready()["registry"]["state"] == "failed")
            assert live.ready()["status"] == "ready"
            assert live.predict(EYE).json()["model_version"] == version


class Stoppable:
    """A way to MLflow that can be closed."""

    def __init__(self, address: str) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                said = httpx.get(address + self.path)
                self.send_response(said.status_code)
                self.send_header("content-length", str(len(said.content)))
                self.end_headers()
                self.wfile.write(said.content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "Stoppable":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __exit__(self, *_: object) -> None:
        self.stop()


def _threshold(champions: Champions, answer: httpx.Response) -> float:
    return champions.thresholds[answer.json()["model_version"]]
