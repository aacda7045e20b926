import subprocess
import sys
from pathlib import Path

import pytest

from clarity.errors import SettingsError
from clarity.settings import STACK_FILE, Settings


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("CLARITY_DATABASE_URL", "CLARITY_S3_ENDPOINT_URL", "MLFLOW_TRACKING_URI", "CLARITY_S3_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLARITY_HOME", str(tmp_path))
    return tmp_path


def test_what_the_stack_wrote_is_read(home: Path) -> None:
    (home / STACK_FILE).write_text("CLARITY_DATABASE_URL=postgresql://local/clarity\n")
    assert Settings.load().need("database_url") == "postgresql://local/clarity"


def test_the_environment_wins_over_the_stacks_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / STACK_FILE).write_text("CLARITY_DATABASE_URL=postgresql://local/clarity\n")
    monkeypatch.setenv("CLARITY_DATABASE_URL", "postgresql://elsewhere/clarity")
    assert Settings.load().need("database_url") == "postgresql://elsewhere/clarity"


def test_a_missing_address_says_its_name_and_the_way_out() -> None:
    with pytest.raises(SettingsError, match="MLFLOW_TRACKING_URI: not set; start the local stack with `clarity up`"):
        Settings.load().need("mlflow_tracking_uri")


def test_secrets_do_not_show_when_settings_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLARITY_S3_SECRET_ACCESS_KEY", "planted-secret")
    monkeypatch.setenv("CLARITY_DATABASE_URL", "postgresql://u:planted-secret@h/d")
    assert "planted-secret" not in repr(Settings.load())


def test_a_child_process_gets_the_same_addresses(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("CLARITY_S3_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("CLARITY_S3_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("CLARITY_S3_SECRET_ACCESS_KEY", "secret")
    env = Settings.load().environment()
    assert env["AWS_ENDPOINT_URL_S3"] == env["CLARITY_S3_ENDPOINT_URL"] == "http://127.0.0.1:1"
    assert (env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"]) == ("key", "secret")
    assert env["CLARITY_HOME"] == str(home)


def test_importing_the_package_reads_nothing() -> None:
    code = "import os; os.environ.clear(); import clarity.settings, clarity.params, clarity.cli"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("below", [".", "notebooks", "docs/pictures"])
def test_without_a_word_of_the_environment_the_project_is_the_nearest_one_upwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str
) -> None:
    """A notebook runs in its own folder."""
    for name in ("CLARITY_HOME", "CLARITY_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/pipeline.yaml").touch()
    (tmp_path / below).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(tmp_path / below)
    assert (Settings.load().project, Settings.load().home) == (tmp_path, tmp_path / ".clarity")
    monkeypatch.setenv("CLARITY_PROJECT", "elsewhere")
    assert Settings.load().project == tmp_path / below / "elsewhere"


def test_outside_of_any_project_it_is_where_the_command_is_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CLARITY_HOME", "CLARITY_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    assert (Settings.load().project, Settings.load().home) == (tmp_path, tmp_path / ".clarity")
