"""A worker's model follows the champion: real bundles and threads, and a registry that says what the test wants."""

import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from clarity.errors import BundleError, NoChampion, StorageUnavailable
from clarity.inference.bundle import Bundle
from clarity.inference.grader import Grader
from clarity.params import Params
from clarity.registry import cache
from clarity.settings import Settings
from serving.follow import Follower
from serving.site import Site
from serving.source import Source
from serving.state import Board, State
from tests import tiny
from tests.conftest import PROJECT

NAME = "clarity-dr"
EYE = tiny.jpeg(tiny.eye())
PATIENCE_S = 20.0


@pytest.fixture(scope="module")
def sound(tiny_bundle: Bundle) -> Bundle:
    return tiny_bundle


@pytest.fixture(scope="module")
def changed(sound: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Its canaries do not come back as it says."""
    return tiny.broken(sound, tmp_path_factory.mktemp("changed"), "canaries")


@dataclass
class Registry:
    """The one question of MLflow's REST interface that a follower asks, answered over HTTP."""

    folder: Path
    """Where its versions already lie on this machine."""
    digests: dict[str, str] = field(default_factory=dict)
    champion: str | None = None
    away: bool = False
    address: str = ""

    def hold(self, version: str, bundle: Bundle) -> None:
        shutil.copytree(bundle.path, cache.place(self.folder, NAME, version, bundle.digest))
        self.digests[version] = bundle.digest

    def answer(self) -> tuple[int, dict[str, object]]:
        if self.away:
            return 503, {}
        if self.champion is None:
            return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST"}
        tags = [{"key": "clarity.bundle", "value": self.digests[self.champion]}]
        return 200, {"model_version": {"version": self.champion, "tags": tags}}


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    made = Registry(tmp_path / "models")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, said = made.answer()
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.address = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield made
        server.shutdown()


@dataclass
class Worker:
    """A follower, whose thread the test is: it looks when it is told to."""

    follower: Follower
    board: Board

    def look(self) -> State:
        """Once; what stands on the board then."""
        self.follower._try(self.follower._look)
        return self.state

    @property
    def state(self) -> State:
        (state,) = self.board.read()
        return state

    def version(self) -> str:
        with self.follower.lease(PATIENCE_S) as grader:
            return grader.model_version


@pytest.fixture
def board(tmp_path: Path) -> Board:
    (tmp_path / "run").mkdir()
    return Board(tmp_path / "run")


def worker(board: Board, registry: Registry, params: Params, bundle: Path | None = None) -> Worker:
    settings = Settings(CLARITY_HOME=registry.folder.parent, CLARITY_PROJECT=PROJECT, CLARITY_DATABASE_URL=None)
    source = Source(NAME, bundle, registry.address, registry.folder)
    return Worker(Follower(source, Site(settings, params), board, 0), board)


@pytest.fixture
def following(board: Board, registry: Registry, params: Params) -> Worker:
    return worker(board, registry, params)


def test_before_the_first_model_is_there_it_says_that_it_is_loading(following: Worker) -> None:
    with pytest.raises(StorageUnavailable, match="is being loaded"), following.follower.lease(0):
        pass
    assert not following.state.settled


def test_without_a_champion_it_says_so_and_takes_the_first_that_comes(
    following: Worker, registry: Registry, sound: Bundle
) -> None:
    said = following.look()
    assert (said.settled, said.version, said.code) == (True, None, "no_champion")
    with pytest.raises(NoChampion, match="no version is promoted"):
        following.version()
    registry.hold("1", sound)
    registry.champion = "1"
    said = following.look()
    assert (said.version, said.generation, said.code, said.reason) == ("1", 1, "", "")
    assert following.version() == "1"


def test_a_champion_that_is_refused_leaves_the_old_one_in_service_and_is_not_tried_again(
    following: Worker, registry: Registry, sound: Bundle, changed: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []
    really = Source.open
    monkeypatch.setattr(Source, "open", lambda *asked: tried.append(asked[2]) or really(*asked))
    registry.hold("1", sound)
    registry.hold("2", changed)
    registry.champion = "1"
    following.look()
    registry.champion = "2"
    for _ in range(3):
        said = following.look()
    assert (said.version, said.refused_version, said.code) == ("1", "2", "bundle_refused")
    assert "canaries came back changed" in said.refused_reason
    assert following.version() == "1"
    assert tried == ["1", "2"]
    registry.champion = "1"
    said = following.look()
    assert (said.refused_version, said.refused_reason, said.code) == ("", "", "")


def test_a_first_champion_that_is_refused_is_the_reason_why_there_is_no_model(
    following: Worker, registry: Registry, changed: Bundle
) -> None:
    registry.hold("1", changed)
    registry.champion = "1"
    assert following.look().version is None
    with pytest.raises(BundleError, match="canaries came back changed"):
        following.version()


def test_a_registry_that_is_away_is_said_and_the_model_serves_on(
    following: Worker, registry: Registry, sound: Bundle
) -> None:
    registry.hold("1", sound)
    registry.champion = "1"
    following.look()
    registry.away = True
    said = following.look()
    assert (said.version, said.code) == ("1", "storage_unavailable") and "HTTP 503" in said.reason
    assert following.version() == "1"
    registry.away = False
    assert following.look().reason == ""


def test_what_began_with_a_model_ends_with_it_while_another_takes_over(
    following: Worker, registry: Registry, sound: Bundle
) -> None:
    for version in ("1", "2"):
        registry.hold(version, sound)
    registry.champion = "1"
    following.look()
    with following.follower.lease(PATIENCE_S) as old:
        with following.follower.lease(PATIENCE_S):
            registry.champion = "2"
            assert following.look().version == "2"
            assert following.version() == "2"
        assert old.model_version == "1" and _grades(old), "one of its two users has gone"
    assert not _grades(old), "its last user has closed it"
    assert following.state.generation == 2


def test_a_worker_that_replaces_one_begins_with_its_model_though_the_registry_is_away(
    board: Board, registry: Registry, params: Params, sound: Bundle
) -> None:
    registry.away = True
    board.write(State(0, pid=1, settled=True, generation=3, version="7", bundle=str(sound.path)))
    new = worker(board, registry, params)
    new.follower._resume()
    assert new.version() == "7" and new.state.generation == 4
    said = new.look()
    assert (said.version, said.code) == ("7", "storage_unavailable")


def test_a_worker_that_replaces_one_whose_bundle_is_gone_asks_the_registry(
    board: Board, registry: Registry, params: Params, sound: Bundle, tmp_path: Path
) -> None:
    registry.hold("1", sound)
    registry.champion = "1"
    board.write(State(0, pid=1, settled=True, generation=3, version="7", bundle=str(tmp_path / "gone")))
    new = worker(board, registry, params)
    new.follower._resume()
    assert new.state.version is None
    assert new.look().version == "1" and new.version() == "1"


def test_a_named_bundle_is_loaded_in_the_background_and_waited_for(
    board: Board, registry: Registry, params: Params, sound: Bundle
) -> None:
    named = worker(board, registry, params, sound.path)
    named.follower.start()
    assert named.version() == f"bundle-{sound.digest[:12]}"


def test_a_named_bundle_that_is_none_is_the_reason_why_there_is_no_model(
    board: Board, registry: Registry, params: Params, tmp_path: Path
) -> None:
    named = worker(board, registry, params, tmp_path / "nothing")
    named.follower.start()
    with pytest.raises(BundleError):
        named.version()
    assert named.state.code == "bundle_refused"


def _grades(grader: Grader) -> bool:
    try:
        return len(grader.grade([EYE])) == 1
    except RuntimeError:  # of its closed threads
        return False
