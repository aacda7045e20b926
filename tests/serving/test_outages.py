"""PostgreSQL and the object store go away under load and come back: clear refusals, and nothing answered is missing."""

import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select

from clarity import stack as local
from clarity.access import keys
from clarity.inference.bundle import Bundle
from clarity.settings import Settings
from clarity.storage import database, tables
from clarity.storage.objects import Objects
from serving.keyring import STALE_S
from tests import tiny
from tests.conftest import PROJECT, forget_addresses
from tests.integration.test_stack import SMALL, kill, pids
from tests.serving.clinic import Place, variables
from tests.serving.live import Live, serving

CALLERS = 3
AWAY_S = 3.0
SLOWEST_S = 60.0
"""What serving.timeout_s promises of a request that is kept: twice that, whatever its stores do."""
NUMBERS = itertools.count()
"""Of photographs: none is sent twice."""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, _nobody_elses_services: None) -> Iterator[Settings]:
    """Two parts of a stack of our own, which this module may stop."""
    with pytest.MonkeyPatch.context() as patched:
        forget_addresses(patched)
        patched.setenv("CLARITY_HOME", str(tmp_path_factory.mktemp("own")))
        patched.setenv("CLARITY_PROJECT", str(PROJECT))
        try:
            started = local.up(Settings.load(), parts=SMALL).settings
            database.upgrade(started.need("database_url"))
            Objects(started).ensure_bucket()
            yield started
        finally:
            local.down(Settings.load())


@pytest.fixture(scope="module")
def place(settings: Settings) -> Iterator[Place]:
    made = Place(settings, database.engine(settings.need("database_url")), Objects(settings))
    yield made
    made.engine.dispose()


@pytest.fixture(scope="module")
def live(settings: Settings, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    home = tmp_path_factory.mktemp("served")
    with serving(home / "serve", "--bundle", str(bundle.path), **variables(settings)) as running:
        yield running


@dataclass
class Load:
    """Callers who never stop sending new photographs of their patients."""

    live: Live
    patients: list[UUID]
    answers: list[tuple[float, httpx.Response]] = field(default_factory=list)
    broken: list[BaseException] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator["Load"]:
        callers = [threading.Thread(target=self._call, args=(patient,)) for patient in self.patients]
        for caller in callers:
            caller.start()
        try:
            yield self
        finally:
            self._stop.set()
            for caller in callers:
                caller.join(60)

    def _call(self, patient: UUID) -> None:
        with self.live.client as client:
            while not self._stop.is_set():
                data = tiny.jpeg(tiny.eye(200, 160, seed=next(NUMBERS)))
                begun = time.monotonic()
                try:
                    answer = client.post(
                        "/v1/predict", files={"image": ("eye.jpg", data)}, data={"patient": str(patient), "eye": "left"}
                    )
                except httpx.HTTPError as error:
                    self.broken.append(error)
                    return
                self.answers.append((time.monotonic() - begun, answer))
                if answer.status_code != 200:
                    time.sleep(0.1)

    def ok(self) -> int:
        return sum(answer.status_code == 200 for _, answer in list(self.answers))

    def refused(self) -> int:
        return sum(answer.status_code == 503 for _, answer in list(self.answers))


def until(holds: Callable[[], bool], within_s: float, what: str) -> None:
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.05)


@contextmanager
def away(settings: Settings, part: str, how: str) -> Iterator[None]:
    """One part stopped, killed, or hung: it takes connections and never answers."""
    pid = pids(settings)[part]
    assert pid is not None
    try:
        if how == "stopped":
            local.down(settings, parts=(part,))
        elif how == "killed":
            kill(pid)
        else:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        if how == "hung":
            os.kill(pid, signal.SIGCONT)
        local.up(settings, parts=SMALL)


@pytest.mark.parametrize(
    ("part", "how"),
    [("postgres", "stopped"), ("postgres", "killed"), ("s3", "stopped"), ("s3", "killed"), ("s3", "hung")],
)
def test_what_is_away_is_a_503_and_nothing_that_was_answered_is_missing_afterwards(
    live: Live, place: Place, settings: Settings, part: str, how: str
) -> None:
    load = Load(live, [place.patient() for _ in range(CALLERS)])
    with load.running():
        until(lambda: load.ok() >= 6, 60, "no answer before the outage")
        with away(settings, part, how):
            until(lambda: load.refused() >= 2, 55, "no refusal while it was away")
            time.sleep(AWAY_S)
            with live.client as client:
                assert client.get("/health").status_code == 200
        before = load.ok()
        until(lambda: load.ok() >= before + 6, 60, "did not recover by itself")
    assert not load.broken
    for took, answer in load.answers:
        assert answer.status_code in (200, 503), answer.text
        assert took < SLOWEST_S
        if answer.status_code == 503:
            assert answer.json()["code"] == "storage_unavailable" and int(answer.headers["retry-after"]) > 0
    _all_there(place, [answer.json() for _, answer in load.answers if answer.status_code == 200])


def _all_there(place: Place, answers: list[dict[str, object]]) -> None:
    assert len(answers) >= 12
    with database.session(place.engine) as session:
        scans = {row.sha256: row for row in session.scalars(select(tables.Scan))}
        said = {row.sha256: row for row in session.scalars(select(tables.Prediction))}
        joined = {(row.patient_id, row.visit) for row in session.scalars(select(tables.Outcome))}
    objects = {entry.key for entry in place.objects.list()}
    for answer in answers:
        sha = answer["stored"]["scan"]  # type: ignore[index]
        assert sha in scans and scans[sha].key in objects
        assert (scans[sha].patient_id, scans[sha].visit) in joined
        if answer["outcome"] == "graded":
            assert said[sha].grade == answer["grade"] and said[sha].heatmap_key in objects


def test_without_a_patient_neither_is_missed(live: Live, settings: Settings) -> None:
    try:
        local.down(settings, parts=SMALL)
        answer = live.predict(tiny.jpeg(tiny.eye()))
        assert answer.status_code == 200 and answer.json()["stored"] is None
    finally:
        local.up(settings, parts=SMALL)


def test_a_key_opens_the_service_again_after_postgresql_was_stopped_and_started(
    place: Place, settings: Settings, bundle: Bundle, tmp_path: Path
) -> None:
    secret = keys.make(place.engine, "camera", ["read"], rate_per_minute=6000, expires_at=None)[1]

    def asked(live: Live, key: str = secret) -> tuple[int, str]:
        with live.client as client:
            answer = client.get("/v1/worklist", headers={"X-API-Key": key})
        return answer.status_code, answer.json().get("code", "")

    with serving(tmp_path / "serve", "--bundle", str(bundle.path), open_=False, **variables(settings)) as live:
        assert asked(live) == (200, "")
        try:
            local.down(settings, parts=("postgres",))
            time.sleep(STALE_S)  # the service has forgotten the key, and cannot ask for it
            assert asked(live) == (503, "storage_unavailable"), "not 401: nobody says that the key is wrong"
        finally:
            local.up(settings, parts=SMALL)
        until(lambda: asked(live) == (200, ""), 60, "the key did not open again")
        assert asked(live, secret[:-1] + "x")[0] == 401
