"""Promotions in a real PostgreSQL beside a real MLflow: two places that must not disagree for long."""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from clarity.errors import NoChampion, StorageError, StorageUnavailable
from clarity.inference.bundle import Bundle
from clarity.records import ModelRef
from clarity.registry import judgement, ledger, promotion
from clarity.registry.ledger import Entry
from clarity.registry.models import CHAMPION, PREVIOUS, Registry
from clarity.settings import Settings
from clarity.storage import database
from tests.integration.registering import new_name, new_run

pytestmark = pytest.mark.stack


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    made = database.engine(settings.need("database_url"))
    yield made
    made.dispose()


@pytest.fixture(scope="module")
def registry(stack: Settings) -> Registry:
    return Registry(stack.need("mlflow_tracking_uri"))


@pytest.fixture(scope="module")
def bundle_dir(tiny_bundle: Bundle) -> Path:
    return tiny_bundle.path


@pytest.fixture
def versions(registry: Registry, bundle_dir: Path) -> list[ModelRef]:
    """Three registered versions of a model of the test's own."""
    name = new_name()
    return [registry.register(bundle_dir, new_run(registry), name) for _ in range(3)]


class DiesBetween(Registry):
    """Dies after the ledger's row is committed and before MLflow's alias is moved."""

    def promote(self, ref: ModelRef, *, previous: str | None = None) -> ModelRef:
        raise KeyboardInterrupt


def aliases(registry: Registry, name: str) -> tuple[str | None, str | None]:
    return registry.version_of(name, CHAMPION), registry.version_of(name, PREVIOUS)


def promote(registry: Registry, engine: Engine, ref: ModelRef) -> None:
    promotion.promote(registry, engine, ref, actor="ada", reasons=("better",), figures={"qwk": 0.8})


def test_a_row_says_who_did_what_to_which_version_and_why(engine: Engine) -> None:
    written = ledger.record(
        engine,
        Entry("clarity-dr", "3", "promoted", "ada", ("QWK 0.8",), {"qwk": 0.8, "sensitivity": math.nan}, "2", "run"),
    )
    assert ledger.history(engine, "clarity-dr") == [written]
    assert (written.actor, written.reasons, written.previous_version) == ("ada", ("QWK 0.8",), "2")
    assert written.figures == {"qwk": 0.8, "sensitivity": None}
    assert written.at is not None
    assert written.at.utcoffset() == timedelta(0)


def test_rows_of_another_model_are_not_this_models(engine: Engine) -> None:
    ledger.record(engine, Entry("other", "1", "promoted", "ada"))
    assert ledger.history(engine, "clarity-dr") == []


@pytest.mark.parametrize("statement", ["UPDATE promotions SET actor = 'eve'", "DELETE FROM promotions"])
def test_the_ledger_only_grows(engine: Engine, statement: str) -> None:
    ledger.record(engine, Entry("clarity-dr", "1", "promoted", "ada"))
    with pytest.raises(StorageError), database.connection(engine) as link:
        link.execute(text(statement))
    assert [entry.actor for entry in ledger.history(engine, "clarity-dr")] == ["ada"]


def test_promotions_push_and_rollbacks_take_one_away() -> None:
    def entries(*said: tuple[str, str]) -> list[Entry]:
        return [Entry("m", version, action, "ada") for action, version in said]  # type: ignore[arg-type]

    assert ledger.promoted([]) == []
    story = entries(("promoted", "1"), ("promoted", "2"), ("refused", "3"), ("promoted", "4"), ("rolled back", "2"))
    assert ledger.promoted(story) == ["1", "2"]
    assert ledger.promoted(entries(("promoted", "1"), ("promoted", "1"))) == ["1"]
    assert ledger.promoted([*story, *entries(("promoted", "4"))]) == ["1", "2", "4"]


def test_a_promotion_is_in_mlflow_and_in_the_ledger(
    registry: Registry, engine: Engine, versions: list[ModelRef]
) -> None:
    promote(registry, engine, versions[0])
    promote(registry, engine, versions[1])
    name = versions[0].name
    assert registry.champion(name).version == "2"
    assert aliases(registry, name) == ("2", "1")
    rows = ledger.history(engine, name)
    assert [(row.version, row.previous_version, row.action) for row in rows] == [
        ("1", None, "promoted"),
        ("2", "1", "promoted"),
    ]
    assert rows[1].run_id == versions[1].run_id
    assert rows[1].git_commit == "0000000"


def test_promoting_the_champion_again_writes_nothing(
    registry: Registry, engine: Engine, versions: list[ModelRef]
) -> None:
    promote(registry, engine, versions[0])
    promote(registry, engine, versions[0])
    assert len(ledger.history(engine, versions[0].name)) == 1


def test_rollbacks_return_step_by_step_and_stop_at_the_first(
    registry: Registry, engine: Engine, versions: list[ModelRef]
) -> None:
    name = versions[0].name
    for ref in versions:
        promote(registry, engine, ref)
    assert promotion.rollback(registry, engine, name, actor="ada", reasons=("worse at night",)).version == "2"
    assert aliases(registry, name) == ("2", "1")
    assert promotion.rollback(registry, engine, name, actor="ada", reasons=()).version == "1"
    assert aliases(registry, name) == ("1", None)
    with pytest.raises(NoChampion, match="version 1 is the only one"):
        promotion.rollback(registry, engine, name, actor="ada", reasons=())
    last = ledger.history(engine, name)[3]
    assert (last.action, last.version, last.previous_version) == ("rolled back", "2", "3")
    assert last.reasons == ("worse at night",)


def test_a_model_that_was_never_promoted_cannot_be_rolled_back(
    registry: Registry, engine: Engine, versions: list[ModelRef]
) -> None:
    with pytest.raises(NoChampion, match="no version is promoted"):
        promotion.rollback(registry, engine, versions[0].name, actor="ada", reasons=())
    assert ledger.history(engine, versions[0].name) == []


def test_a_refusal_is_written_and_moves_nothing(registry: Registry, engine: Engine, versions: list[ModelRef]) -> None:
    promote(registry, engine, versions[0])
    promotion.refuse(registry, engine, versions[1], actor="flow", reasons=("failed: QWK",), figures={"qwk": 0.1})
    row = ledger.history(engine, versions[0].name)[-1]
    assert (row.action, row.version, row.previous_version) == ("refused", "2", "1")
    assert aliases(registry, versions[0].name) == ("1", None)


def test_a_judgement_is_written_once_however_often_its_step_is_tried(
    registry: Registry, engine: Engine, versions: list[ModelRef]
) -> None:
    def settle(ref: ModelRef, accepted: bool, about: str) -> None:
        write = promotion.promote if accepted else promotion.refuse
        write(registry, engine, ref, actor="flow", reasons=("QWK",), figures={judgement.KEY: about})

    verdicts = list(zip(versions, (True, False, True), "abc", strict=True))
    for verdict in verdicts:
        settle(*verdict)
        settle(*verdict)
    promotion.rollback(registry, engine, versions[0].name, actor="ada", reasons=("worse",))
    for verdict in verdicts:
        settle(*verdict)
    rows = [(row.version, row.action) for row in ledger.history(engine, versions[0].name)]
    assert rows == [("1", "promoted"), ("2", "refused"), ("3", "promoted"), ("1", "rolled back")]
    assert aliases(registry, versions[0].name) == ("1", None)
    settle(versions[1], False, "d")
    assert len(ledger.history(engine, versions[0].name)) == 5


def test_a_death_between_ledger_and_alias_leaves_the_old_champion_and_is_repaired(
    stack: Settings, registry: Registry, engine: Engine, versions: list[ModelRef]
) -> None:
    name = versions[0].name
    promote(registry, engine, versions[0])
    with pytest.raises(KeyboardInterrupt):
        promote(DiesBetween(stack.need("mlflow_tracking_uri")), engine, versions[1])
    assert registry.champion(name).version == "1"
    assert promotion.reconcile(registry, engine, name)
    assert aliases(registry, name) == ("2", "1")
    assert not promotion.reconcile(registry, engine, name)
    assert len(ledger.history(engine, name)) == 2


def test_the_next_promotion_after_a_death_goes_on_from_what_was_decided(
    stack: Settings, registry: Registry, engine: Engine, versions: list[ModelRef]
) -> None:
    name = versions[0].name
    with pytest.raises(KeyboardInterrupt):
        promote(DiesBetween(stack.need("mlflow_tracking_uri")), engine, versions[0])
    promote(registry, engine, versions[1])
    assert aliases(registry, name) == ("2", "1")
    assert promotion.rollback(registry, engine, name, actor="ada", reasons=()).version == "1"


def test_an_alias_that_somebody_moved_by_hand_returns_to_what_the_ledger_says(
    registry: Registry, engine: Engine, versions: list[ModelRef]
) -> None:
    promote(registry, engine, versions[0])
    registry.promote(versions[2])
    assert promotion.reconcile(registry, engine, versions[0].name)
    assert registry.champion(versions[0].name).version == "1"


def test_a_champion_that_mlflow_lost_does_not_stop_the_next_promotion(
    registry: Registry, engine: Engine, versions: list[ModelRef]
) -> None:
    promote(registry, engine, versions[0])
    registry.client.delete_model_version(versions[0].name, "1")
    promote(registry, engine, versions[1])
    promote(registry, engine, versions[2])
    assert aliases(registry, versions[0].name) == ("3", "2")


def test_a_rollback_passes_over_a_version_that_mlflow_lost(
    registry: Registry, engine: Engine, versions: list[ModelRef]
) -> None:
    name = versions[0].name
    for ref in versions:
        promote(registry, engine, ref)
    registry.client.delete_model_version(name, "2")
    assert promotion.rollback(registry, engine, name, actor="ada", reasons=()).version == "1"
    assert aliases(registry, name) == ("1", None)
    assert ledger.promoted(ledger.history(engine, name)) == ["1"]


def test_two_promotions_at_once_come_one_after_the_other(
    registry: Registry, engine: Engine, versions: list[ModelRef]
) -> None:
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda ref: promote(registry, engine, ref), versions))
    stack = ledger.promoted(ledger.history(engine, versions[0].name))
    assert sorted(stack) == ["1", "2", "3"]
    assert aliases(registry, versions[0].name) == (stack[-1], stack[-2])


def test_without_postgresql_nothing_is_promoted(registry: Registry, versions: list[ModelRef]) -> None:
    nowhere = database.engine("postgresql://ada:secret@127.0.0.1:9/clarity")
    with pytest.raises(StorageUnavailable):
        promote(registry, nowhere, versions[0])
    assert registry.version_of(versions[0].name, CHAMPION) is None
