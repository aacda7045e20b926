"""The night as Prefect runs it: champion from MLflow, retries, artifacts, the end that a person sees."""

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import typer
from prefect.settings import PREFECT_API_URL, temporary_settings
from sqlalchemy import func, select, text
from typer.testing import CliRunner

from clarity import params as parameters
from clarity import stack
from clarity.cli import screen as command
from clarity.errors import AlreadyRunning, LimitPassed, NoChampion, ScreeningIncomplete, StorageError
from clarity.inference.bundle import Bundle
from clarity.registry import promotion
from clarity.registry.models import Registry
from clarity.settings import Settings
from clarity.storage import database, runs, tables
from clarity.storage.lock import NightLock
from clarity.storage.objects import Objects
from flows import screen as flow_module
from flows import screening_steps
from flows.screen import screen
from tests import tiny
from tests.integration.registering import new_name, new_run

EYES = [tiny.jpeg(tiny.eye(seed=seed)) for seed in range(5)]


@pytest.fixture
def engine(settings: Settings) -> Iterator[database.Engine]:
    made = database.engine(settings.need("database_url"))
    with temporary_settings({PREFECT_API_URL: settings.need("prefect_api_url")}):  # Prefect was imported before
        yield made
    made.dispose()


@pytest.fixture
def config(settings: Settings, tmp_path: Path) -> list[str]:
    """The project's configuration with a model of the test's own and small batches; nothing is promoted yet."""
    base = parameters.load(settings.project / "conf/pipeline.yaml")
    model = base.model.model_copy(update={"name": new_name()})
    screening = base.screening.model_copy(update={"batch_size": 2, "overlay_size": 128})
    file = tmp_path / "screen.yaml"
    file.write_text(parameters.dump(base.model_copy(update={"model": model, "screening": screening})))
    return [str(file)]


@pytest.fixture
def champion(settings: Settings, engine: database.Engine, config: list[str], tiny_bundle: Bundle) -> str:
    registry = Registry(settings.need("mlflow_tracking_uri"))
    name = parameters.load(config[0]).model.name
    ref = registry.register(tiny_bundle.path, new_run(registry), name)
    promotion.promote(registry, engine, ref, actor="test", reasons=["for the test"])
    return ref.version


@pytest.fixture
def objects(settings: Settings) -> Objects:
    """An inbox with five captures of three patients and one that is nobody's."""
    made = Objects(settings)
    for number, data in enumerate(EYES):
        made.put(f"inbox/{number}.jpg", data)
        sidecar = {"patient": f"P{number // 2}", "eye": ("left", "right")[number % 2], "visit": "v1"}
        made.put(f"inbox/{number}.jpg.json", json.dumps(sidecar).encode())
    made.put("inbox/nobody.jpg", tiny.jpeg(np.zeros((64, 64, 3), np.uint8)))
    return made


def rows(engine: database.Engine) -> dict[str, int]:
    kinds = (tables.Patient, tables.Scan, tables.Prediction, tables.Outcome, tables.ScreeningRun)
    with database.session(engine) as session:
        return {t.__tablename__: session.scalar(select(func.count()).select_from(t)) or 0 for t in kinds}


def artifacts(settings: Settings, key: str) -> list[str]:
    """Their texts, the newest first; asked for plainly, as Prefect's own client sends what its server refuses."""
    wanted = {"artifacts": {"key": {"any_": [key]}}, "sort": "CREATED_DESC", "limit": 5}
    answer = httpx.post(f"{settings.prefect_api_url}/artifacts/filter", json=wanted)
    return [str(artifact["data"]) for artifact in answer.raise_for_status().json()]


def test_a_night_ends_with_results_a_report_and_artifacts_and_again_nothing_doubles(
    settings: Settings, engine: database.Engine, objects: Objects, config: list[str], champion: str
) -> None:
    summary = screen(config)
    assert summary["scored"] == 5 and summary["quarantined"] == 1 and summary["failed"] == 0
    assert summary["model_version"] == champion
    assert sum(summary["outcomes"].values()) == 3
    assert objects.exists(f"{summary['report']}contact.png")
    assert any(summary["run"] in text for text in artifacts(settings, "screening"))
    again = screen(config)
    assert (again["registered"], again["scored"]) == (0, 0)
    assert rows(engine) == {"patients": 3, "scans": 5, "predictions": 5, "outcomes": 3, "screening_runs": 2}
    assert len(list(objects.list("heatmaps/"))) == 5


def test_without_a_champion_nothing_is_consumed(engine: database.Engine, objects: Objects, config: list[str]) -> None:
    before = [entry.key for entry in objects.list()]
    with pytest.raises(NoChampion, match="no version is promoted"):
        screen(config)
    assert set(rows(engine).values()) == {0}
    assert [entry.key for entry in objects.list()] == before


def test_a_second_night_at_once_is_refused_and_touches_nothing(
    engine: database.Engine, objects: Objects, config: list[str], champion: str
) -> None:
    with NightLock(engine), pytest.raises(AlreadyRunning):
        screen(config)
    assert set(rows(engine).values()) == {0}


def test_a_batch_that_fails_costs_itself_alone_and_the_night_ends_as_failed(
    engine: database.Engine, objects: Objects, config: list[str], champion: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = screening_steps.score_batch, []

    def second_fails(shas: list[str], *rest: object) -> object:
        calls.append(shas)
        if len(calls) == 2:
            raise StorageError("bucket: AccessDenied, refused by the store")
        return real(shas, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(screening_steps, "score_batch", second_fails)
        with pytest.raises(ScreeningIncomplete, match="AccessDenied"):
            screen(config, "night-1")
    assert len(calls) == 3  # not retried: it would be refused again
    with database.session(engine) as session:
        run = runs.get(session, "night-1")
    assert run is not None and run.status == "failed"
    assert (run.counts["scored"], run.counts["failed"]) == (3, 2)
    assert screen(config)["scored"] == 2
    assert rows(engine)["predictions"] == 5


def test_a_lost_connection_is_retried_and_costs_nothing(
    engine: database.Engine, objects: Objects, config: list[str], champion: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = screening_steps.score_batch, []

    def broken_once(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == 1:
            kill_everything_but_me(engine)
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(screening_steps, "score_batch", broken_once)
    assert screen(config)["scored"] == 5
    assert rows(engine)["predictions"] == 5


def test_the_command_prints_a_table_and_ends_non_zero_when_something_failed(
    settings: Settings,
    engine: database.Engine,
    objects: Objects,
    config: list[str],
    champion: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = typer.Typer()
    command.register(app)
    app.command()(lambda: None)  # with one command only typer would leave its name out
    good = CliRunner().invoke(app, ["screen", "--config", config[0]])
    assert good.exit_code == 0, good.output
    assert "outcome: refer" in good.output and "inbox/nobody.jpg" in good.output
    assert "not a medical device" in good.output

    def refused(*_: object) -> None:
        raise StorageError("bucket: AccessDenied, refused by the store")

    monkeypatch.setattr(screening_steps, "look", refused)
    bad = CliRunner().invoke(app, ["screen", "--config", config[0]])
    assert isinstance(bad.exception, ScreeningIncomplete) and bad.exit_code == 1


@pytest.fixture
def own_postgres(
    settings: Settings,
    initialised: Callable[[Path], None],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Settings]:
    """A PostgreSQL that the test may stop, for Clarity's tables alone; the rest is the session's."""
    empty = settings.model_copy(update={"home": tmp_path_factory.mktemp("postgres"), "database_url": None})
    initialised(empty.home)
    own = stack.up(empty, parts=("postgres",)).settings
    monkeypatch.setenv("CLARITY_DATABASE_URL", own.need("database_url"))
    database.upgrade(own.need("database_url"))
    yield empty
    stack.down(empty)


def test_postgresql_stopped_in_the_middle_is_waited_for(
    own_postgres: Settings, objects: Objects, config: list[str], champion: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = stop_at_second_batch(own_postgres, monkeypatch)
    returning = threading.Thread(target=lambda: stopped.wait(60) and stack.up(own_postgres, parts=("postgres",)))
    returning.start()
    summary = screen(config)
    returning.join()
    assert summary["scored"] == 5 and summary["status"] == "completed"
    with_own(lambda engine: expect(engine, predictions=5, runs=1))


def test_postgresql_that_stays_away_ends_the_night_clearly_and_the_next_run_completes_it(
    own_postgres: Settings, objects: Objects, config: list[str], champion: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_module, "_DELAYS_S", [0.1, 0.1, 0.1])
    with monkeypatch.context() as patch:
        stop_at_second_batch(own_postgres, patch)
        with pytest.raises(ScreeningIncomplete, match=r"PostgreSQL at .*refused.*run it again"):
            screen(config)
    stack.up(own_postgres, parts=("postgres",))
    assert screen(config)["scored"] == 3
    with_own(lambda engine: expect(engine, predictions=5, runs=2))
    assert len(list(objects.list("heatmaps/"))) == 5


def stop_at_second_batch(own: Settings, patch: pytest.MonkeyPatch) -> threading.Event:
    real, calls, stopped = screening_steps.score_batch, [], threading.Event()

    def stops(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == 2:
            stack.down(own, parts=("postgres",))
            stopped.set()
        return real(*arguments)  # type: ignore[arg-type]

    patch.setattr(screening_steps, "score_batch", stops)
    return stopped


def with_own(check: Callable[[database.Engine], None]) -> None:
    made = database.engine(os.environ["CLARITY_DATABASE_URL"])
    check(made)
    made.dispose()


def expect(engine: database.Engine, *, predictions: int, runs: int) -> None:
    counted = {"patients": 3, "scans": 5, "predictions": predictions, "outcomes": 3, "screening_runs": runs}
    assert rows(engine) == counted


def kill_everything_but_me(engine: database.Engine) -> None:
    """As a restart of the server does it to every connection of this database."""
    others = "datname = current_database() AND pid <> pg_backend_pid()"
    with database.connection(engine) as link:
        link.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"))  # noqa: S608


def test_a_name_that_matches_a_pattern_says_whose_a_capture_is(
    engine: database.Engine, objects: Objects, config: list[str], champion: str
) -> None:
    params = parameters.load(config[0])
    pattern = r"(?P<patient>[^/_]+)_(?P<eye>OD|OS)_(?P<visit>[^/_]+)\.jpg"
    screening = params.screening.model_copy(update={"patterns": (pattern,)})
    Path(config[0]).write_text(parameters.dump(params.model_copy(update={"screening": screening})))
    objects.put("inbox/K7_OD_v9.jpg", tiny.jpeg(tiny.eye(seed=77)))
    assert screen(config)["scored"] == 6
    with database.session(engine) as session:
        chosen = select(tables.Scan.eye, tables.Scan.visit).join(tables.Patient)
        assert session.execute(chosen.where(tables.Patient.external_id == "K7")).one() == ("right", "v9")


def test_canaries_ride_and_drift_is_looked_for(objects: Objects, config: list[str], champion: str) -> None:
    summary = screen(config)
    assert summary["canaries"] >= 1 and summary["canaries_changed"] == []
    assert [row["name"] for row in summary["drift"]] == ["quality", "referable probability", "camera"]
    assert set(summary["steps"]) >= {"begin", "canaries", "register", "score", "drift"}
    assert objects.exists(f"{summary['report']}report.html")


def test_a_canary_that_comes_back_changed_fails_the_night_and_its_results_stand(
    settings: Settings,
    engine: database.Engine,
    objects: Objects,
    config: list[str],
    tiny_bundle: Bundle,
    tmp_path: Path,
) -> None:
    bundle = tmp_path / "changed"
    shutil.copytree(tiny_bundle.path, bundle)
    said = json.loads((bundle / "bundle.json").read_text())
    expected = next(c["expected"] for c in said["canaries"] if c["expected"]["fp32"]["gradable"])
    for one in expected.values():
        one["grade"] = (one["grade"] + 1) % 5
    (bundle / "bundle.json").write_text(json.dumps(said))
    registry = Registry(settings.need("mlflow_tracking_uri"))
    ref = registry.register(bundle, new_run(registry), parameters.load(config[0]).model.name)
    promotion.promote(registry, engine, ref, actor="test", reasons=["for the test"])
    with pytest.raises(LimitPassed, match="canaries: 1 of"):
        screen(config, "night-1")
    with database.session(engine) as session:
        run = runs.get(session, "night-1")
    assert run is not None and run.status == "failed" and run.counts["scored"] == 5


def test_history_is_rescored_beside_what_was_said_and_the_report_says_who_changes_side(
    settings: Settings, engine: database.Engine, objects: Objects, config: list[str], champion: str, tiny_bundle: Bundle
) -> None:
    screen(config)
    registry = Registry(settings.need("mlflow_tracking_uri"))
    ref = registry.register(tiny_bundle.path, new_run(registry), parameters.load(config[0]).model.name)
    promotion.promote(registry, engine, ref, actor="test", reasons=["for the test"])
    summary = screen(config, rescore=True)
    assert (summary["kind"], summary["registered"], summary["scored"]) == ("rescore", 0, 5)
    assert rows(engine)["predictions"] == 10
    changes = json.loads(objects.get(f"{summary['report']}changes.json"))
    assert (changes["compared"], changes["to_referable"], changes["to_not_referable"]) == (5, 0, 0)
    with database.session(engine) as session:
        standing = select(tables.Outcome.model_version).where(~tables.Outcome.superseded)
        assert set(session.scalars(standing)) == {ref.version}
    assert screen(config, rescore=True)["scored"] == 0
