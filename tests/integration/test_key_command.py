"""``clarity key`` on a real PostgreSQL: made once told, listed without secrets, revoked for good."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from clarity.access import keys, log
from clarity.cli import app
from clarity.errors import AccessRefused, StorageError, UnknownRecord
from clarity.settings import Settings
from clarity.storage import database
from clarity.storage.access import Entry

pytestmark = pytest.mark.stack


def call(*words: str) -> Result:
    return CliRunner().invoke(app, ["key", *words], catch_exceptions=True, env={"COLUMNS": "160"})


def test_a_key_is_told_once_and_only_its_hash_is_kept(settings: Settings) -> None:
    done = call("create", "camera-1", "--scope", "read", "--scope", "predict", "--expires", "90", "--rate", "7")
    assert done.exit_code == 0, done.output
    told = done.stdout.strip()
    presented = keys.read(told)
    assert presented is not None, "nothing but the key goes to stdout, so that a shell can take it"
    engine = database.engine(settings.need("database_url"))
    key = keys.verify(keys.find(engine, presented.id), presented.secret, datetime.now(UTC))
    assert (key.name, key.scopes, key.rate_per_minute) == ("camera-1", ("predict", "read"), 7)
    assert key.expires_at is not None and timedelta(days=89) < key.expires_at - datetime.now(UTC) < timedelta(days=91)
    with database.connection(engine) as link:
        assert presented.secret not in str(link.execute(text("SELECT * FROM api_keys")).all())
    listed = call("list").stdout
    assert presented.id in listed and "camera-1" in listed and presented.secret not in listed and key.hash not in listed
    engine.dispose()


def test_a_revoked_key_counts_no_more_and_stays_as_it_was_revoked(settings: Settings) -> None:
    presented = keys.read(call("create", "camera-2", "--scope", "admin").stdout.strip())
    assert presented is not None
    assert "revoked on" in call("revoke", presented.id).stdout
    engine = database.engine(settings.need("database_url"))
    first = keys.find(engine, presented.id)
    assert first is not None and first.revoked_at is not None
    with pytest.raises(AccessRefused, match="revoked"):
        keys.verify(first, presented.secret, datetime.now(UTC))
    assert call("revoke", presented.id).exit_code == 0 and keys.find(engine, presented.id) == first
    assert "revoked" in call("list").stdout
    unknown = call("revoke", "0" * 12)
    assert isinstance(unknown.exception, UnknownRecord)
    engine.dispose()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("camera", "--scope", "write"), "'write': unknown"),
        (("camera", "--scope", "read", "--expires", "2020-01-01"), "over already"),
        (("camera", "--scope", "read", "--expires", "0"), "over already"),
        (("camera", "--scope", "read", "--expires", "soon"), "neither days nor a date"),
        (("camera", "--scope", "read", "--rate", "0"), "at least one"),
        (("a\nb", "--scope", "read"), "printable"),
        (("camera",), "--scope"),
    ],
)
def test_what_makes_no_key_is_said(settings: Settings, words: tuple[str, ...], said: str) -> None:
    done = call("create", *words)
    assert done.exit_code != 0 and said in f"{done.output} {done.exception}"


def test_the_access_log_grows_and_nothing_in_it_changes(settings: Settings) -> None:
    engine = database.engine(settings.need("database_url"))
    log.append(engine, [Entry("k", "GET /v1/worklist", "worklist", 200, "r"), Entry("k", "x", "patient 1", 404, "r")])
    log.append(engine, [])
    with database.connection(engine) as link:
        assert link.execute(text("SELECT count(*) FROM access_log")).scalar() == 2
    for change in ("UPDATE access_log SET key_id = 'x'", "DELETE FROM access_log", "TRUNCATE access_log"):
        with pytest.raises(StorageError, match="append-only"), database.connection(engine) as link:
            link.execute(text(change))
    engine.dispose()
