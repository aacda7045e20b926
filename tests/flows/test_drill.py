"""The fault drill with fewer kills: after every fault each capture has exactly one end, and the report is true."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url

from clarity.drill import nights, verdict
from clarity.drill.captures import Round, Supply
from clarity.drill.drill import drill
from clarity.drill.place import Place, place
from clarity.drill.verdict import Truth
from clarity.inference.bundle import Bundle
from clarity.settings import Settings
from clarity.storage import database

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Bundle) -> Path:
    return tiny_bundle.path


def test_whatever_dies_every_capture_ends_once_and_the_report_is_true(stack: Settings, bundle: Path) -> None:
    chosen = ("random", "500", "stalls", "promoted")  # all of them take half an hour: that is the command's
    results = list(drill(stack, bundle, kills=1, only=chosen))
    assert [(result.fault, result.wrong) for result in results if result.wrong] == []
    names = " ".join(result.fault for result in results)
    assert all(fault in names for fault in chosen)


@pytest.fixture(scope="module")
def night(stack: Settings, bundle: Path) -> Iterator[tuple[Place, list[Round], Truth]]:
    """One delivery after an undisturbed night, in which nothing is wrong."""
    with place(stack, bundle, {"batch_size": 3, "overlay_size": 128}) as there:
        rounds, truth = [Supply().deliver(there.objects)], Truth()
        assert nights.run(there) == 0
        assert verdict.broken(there, rounds, truth) == []
        there.engine.dispose()
        yield there, rounds, truth


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("UPDATE scans SET state = 'registered' WHERE state = 'quarantined'", "not a final state"),
        ("DELETE FROM predictions WHERE id = (SELECT min(id) FROM predictions)", "0 predictions"),
        ("UPDATE predictions SET grade = (grade + 1) % 5", "undisturbed as"),
        ("UPDATE predictions SET heatmap_key = heatmap_key || 'x'", "does not open"),
        ("UPDATE screening_runs SET counts = jsonb_set(counts, '{scored}', '99')", "says 99 scored"),
        ("UPDATE screening_runs SET status = 'running'", "never ended"),
        ("DELETE FROM outcomes", "no outcome"),
        ("UPDATE quarantine SET resolved_at = now()", "neither a scan nor in quarantine"),
    ],
)
def test_the_verdict_sees_damage(night: tuple[Place, list[Round], Truth], damage: str, said: str) -> None:
    there, rounds, truth = night
    with copied(there.settings.need("database_url")) as engine:
        with database.connection(engine) as link:
            link.execute(text(damage))
        wrong = verdict.broken(replace(there, engine=engine), rounds, truth)
    assert any(said in sentence for sentence in wrong), wrong


@contextmanager
def copied(url: str) -> Iterator[Engine]:
    """A database of its own with the same rows."""
    name = make_url(url).database
    server = create_engine(make_url(url).set(drivername="postgresql+psycopg", database="postgres"))
    with server.connect().execution_options(isolation_level="AUTOCOMMIT") as link:
        link.execute(text(f'CREATE DATABASE damaged TEMPLATE "{name}"'))
    engine = database.engine(make_url(url).set(database="damaged").render_as_string(hide_password=False))
    try:
        yield engine
    finally:
        engine.dispose()
        with server.connect().execution_options(isolation_level="AUTOCOMMIT") as link:
            link.execute(text("DROP DATABASE damaged WITH (FORCE)"))
        server.dispose()
