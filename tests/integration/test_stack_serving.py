"""The online service as a part of the stack: up beside the others, up again, replaced by an address."""

import contextlib
import time
from collections.abc import Iterator

import httpx
import psutil
import pytest

from clarity import stack as local
from clarity.access import keys
from clarity.client import Client, errors
from clarity.settings import Settings
from clarity.stack.addresses import Home
from clarity.stack.parts import PARTS, with_dependents, with_needs
from clarity.storage import database
from tests.conftest import PROJECT, forget_addresses


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The service and what it works with, in a home of their own."""
    with pytest.MonkeyPatch.context() as patched:
        forget_addresses(patched)
        patched.setenv("CLARITY_HOME", str(tmp_path_factory.mktemp("served") / "home"))
        patched.setenv("CLARITY_PROJECT", str(PROJECT))
        local.up(Settings.load(), parts=("serving",))
        yield Settings.load()
        local.down(Settings.load())
        assert processes(Settings.load()) == []


def processes(settings: Settings) -> list[psutil.Process]:
    return [found for part in PARTS for found in part.processes(Home(settings))]


def told(settings: Settings) -> dict[str, str]:
    return {part.name: part.state for part in local.status(settings)}


def key(settings: Settings, *scopes: str) -> str:
    engine = database.engine(settings.need("database_url"))
    try:
        return keys.make(engine, "test", scopes, rate_per_minute=600, expires_at=None)[1]
    finally:
        engine.dispose()


def test_it_needs_database_and_store_works_with_the_registry_and_is_no_need_of_the_worker() -> None:
    assert [part.name for part in with_needs(("serving",))] == ["postgres", "s3", "mlflow", "serving"]
    assert [part.name for part in with_needs(("worker",))] == ["postgres", "prefect", "worker"]
    assert with_dependents(("s3",)) == ["s3", "mlflow", "serving"]
    assert with_dependents(("mlflow",)) == ["mlflow"]


def test_it_answers_with_a_key_and_says_which_part_it_waits_for(served: Settings) -> None:
    assert {name: state for name, state in told(served).items() if state != "stopped"} == dict.fromkeys(
        ("postgres", "s3", "mlflow", "serving"), "running"
    )
    with Client(served.need("api_url"), key(served, "admin")) as client:
        ready = client.ready()
        assert (ready.status, ready.database and ready.database.ok, ready.objects and ready.objects.ok) == (
            "not ready",
            True,
            True,
        )
        assert ready.model is not None
        assert not ready.model.ok
        patient = client.create_patient(name="Erika Mustermann")
        assert client.patient(patient.id).name == "Erika Mustermann"
    with Client(served.need("api_url"), "") as stranger, pytest.raises(errors.KeyRefused):
        stranger.ready()


def test_a_second_up_leaves_it_alone_and_another_configuration_starts_it_again(served: Settings) -> None:
    def pid() -> int | None:
        return next(part.pid for part in local.status(Settings.load()) if part.name == "serving")

    before = pid()
    assert local.up(Settings.load(), parts=("serving",)).names == ()
    assert pid() == before
    other = Settings.load().model_copy(update={"serving_config": "conf/pipeline.yaml,conf/demo.yaml"})
    assert local.up(other, parts=("serving",)).names == ("serving",)
    assert local.up(other, parts=("serving",)).names == ()
    assert local.up(Settings.load(), parts=("serving",)).names == ("serving",)


def test_killed_it_is_told_as_dead_with_its_log_revived_and_knows_the_patients_of_before(served: Settings) -> None:
    with Client(served.need("api_url"), key(served, "admin")) as client:
        made = client.create_patient(name="Max Mustermann").id
    serving = next(part for part in PARTS if part.name == "serving")
    killed = serving.processes(Home(served))
    for process in killed:
        with contextlib.suppress(psutil.NoSuchProcess):  # an earlier victim took it along
            process.kill()
    psutil.wait_procs(killed, timeout=10)
    (status,) = [part for part in local.status(served) if part.name == "serving"]
    assert (status.state, bool(status.log_tail)) == ("dead", True)
    assert local.revive(served).names == ("serving",)
    with Client(served.need("api_url"), key(served, "read")) as client:
        assert client.patient(made).name == "Max Mustermann"


def test_its_log_names_nobody_and_holds_no_key(served: Settings) -> None:
    given = key(served, "admin")
    with Client(served.need("api_url"), given) as client:
        list(client.patients(name="Mustermann"))
    log = Home(served).log("serving").read_text()
    assert "GET /v1/patients/" in log
    for secret in ("Mustermann", "Erika", given, given.split("_", 2)[2], served.need("identity_keys")):
        assert secret not in log


def test_with_an_address_in_the_environment_nothing_local_is_started_for_it(
    served: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLARITY_API_URL", f"http://localhost:{httpx.URL(served.need('api_url')).port}")
    (status,) = [part for part in local.status(Settings.load()) if part.name == "serving"]
    assert (status.external, status.state) == (True, "running")
    monkeypatch.setenv("CLARITY_API_URL", "http://127.0.0.1:9")
    (status,) = [part for part in local.status(Settings.load()) if part.name == "serving"]
    assert (status.external, status.state) == (True, "unreachable")


def test_keys_of_identities_are_made_once_and_those_of_the_environment_are_used_and_not_kept(
    served: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Home(served).local_addresses()
    assert kept["CLARITY_IDENTITY_KEYS"].startswith("local:")
    given = "mine:" + "A" * 43 + "="
    monkeypatch.setenv("CLARITY_IDENTITY_KEYS", given)
    settings = local.up(Settings.load(), parts=("postgres",)).settings
    assert settings.need("identity_keys") == given
    assert given not in Home(served).addresses_file.read_text()
    assert settings.need("search_key") == kept["CLARITY_SEARCH_KEY"]
    monkeypatch.delenv("CLARITY_IDENTITY_KEYS")
    assert (
        local.up(Settings.load(), parts=("postgres",)).settings.need("identity_keys") == kept["CLARITY_IDENTITY_KEYS"]
    )


def test_initialised_it_is_up_again_within_seconds_while_the_registry_still_starts(served: Settings) -> None:
    local.down(served)
    ready: dict[str, float] = {}
    began = time.monotonic()

    def note(name: str, what: str) -> None:
        if what.startswith("ready"):
            ready[name] = time.monotonic() - began

    local.up(Settings.load(), parts=("serving",), on_progress=note)
    assert ready["serving"] < ready["mlflow"] + 5, ready
    assert max(ready.values()) < 60, ready
