"""PostgreSQL and S3 of a home of their own: started, killed, replaced. Every server here is real and ours."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psutil
import psycopg
import pytest
from sqlalchemy.engine import make_url

from clarity import stack as local
from clarity.errors import StackError
from clarity.settings import Settings
from clarity.stack import postgres, s3, sockets, worker
from clarity.stack.addresses import Home
from clarity.stack.parts import PARTS
from clarity.stack.process import Record
from tests.conftest import PROJECT, forget_addresses

SMALL = ("postgres", "s3")
UP = """
from clarity import stack
from clarity.settings import Settings
print(*stack.up(Settings.load(), parts={}).names)
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home so deep that a Unix socket would not fit into it (107 bytes), and no addresses in the environment."""
    forget_addresses(monkeypatch)
    monkeypatch.setenv("CLARITY_PROJECT", str(PROJECT))
    folder = tmp_path / ("deep-" * 20) / "home"
    monkeypatch.setenv("CLARITY_HOME", str(folder))
    yield folder
    local.down(Settings.load())
    assert processes(folder) == []


@pytest.fixture
def used(home: Path, initialised: Callable[[Path], None]) -> Path:
    """The same home after a first `up` and `down`, for what is the same from then on."""
    initialised(home)
    return home


def elsewhere(home: Path) -> Settings:
    """Settings of another home, with no address in them."""
    return Settings(CLARITY_HOME=home)


def processes(home: Path) -> list[psutil.Process]:
    """Every living process of every part of a home."""
    settings = Settings.load().model_copy(update={"home": home})
    return [found for part in PARTS for found in part.processes(Home(settings))]


def pids(settings: Settings) -> dict[str, int | None]:
    return {part.name: part.pid for part in local.status(settings)}


def states(settings: Settings) -> dict[str, str]:
    return {part.name: part.state for part in local.status(settings)}


def write_row(settings: Settings, text: str) -> None:
    with closing(psycopg.connect(postgres.sibling_url(settings, "clarity"))) as link, link:
        link.execute("CREATE TABLE IF NOT EXISTS kept (text text)")
        link.execute("INSERT INTO kept VALUES (%s)", [text])
        link.commit()


def rows(settings: Settings) -> list[str]:
    with closing(psycopg.connect(postgres.sibling_url(settings, "clarity"))) as link:
        return [row[0] for row in link.execute("SELECT text FROM kept ORDER BY text")]


def kill(pid: int | None) -> None:
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_addresses_and_secrets_are_for_their_owner_alone_and_later_commands_find_them(home: Path) -> None:
    started = local.up(Settings.load(), parts=SMALL)
    assert set(started.names) == set(SMALL)
    for secret in (home / "stack.env", home / "stack" / "credentials.json"):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    found = Settings.load()
    assert found.database_url == started.settings.database_url
    assert found.s3_secret_access_key == started.settings.s3_secret_access_key
    write_row(found, "reached")
    assert s3._bucket_exists(s3._client(found), found.s3_bucket)


def test_a_second_up_starts_nothing_and_changes_no_address(used: Path) -> None:
    first = local.up(Settings.load(), parts=SMALL)
    before = pids(Settings.load())
    again = local.up(Settings.load(), parts=SMALL)
    assert again.names == ()
    assert pids(Settings.load()) == before
    assert again.settings == first.settings


def test_two_ups_at_the_same_moment_start_each_part_once(home: Path) -> None:
    both = [
        subprocess.Popen([sys.executable, "-c", UP.format(SMALL)], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    words = [child.communicate(timeout=60)[0].split() for child in both]
    assert [child.returncode for child in both] == [0, 0]
    assert sorted(words[0] + words[1]) == sorted(SMALL)


@pytest.mark.parametrize("victims", [("postgres",), ("s3",), SMALL])
def test_after_kill_9_status_names_the_dead_and_up_recovers_what_was_committed(
    used: Path, victims: tuple[str, ...]
) -> None:
    settings = local.up(Settings.load(), parts=SMALL).settings
    write_row(settings, "committed")
    store = s3._client(settings)
    store.put_object(Bucket=settings.s3_bucket, Key="kept", Body=b"x" * 100_000)
    running = pids(settings)
    for victim in victims:
        kill(running[victim])
    told = {part.name: part for part in local.status(settings)}
    for name in SMALL:
        assert told[name].state == ("dead" if name in victims else "running")
        assert bool(told[name].log_tail) == (name in victims)
    assert set(local.up(Settings.load(), parts=SMALL).names) == set(victims)
    assert rows(settings) == ["committed"]
    assert store.get_object(Bucket=settings.s3_bucket, Key="kept")["Body"].read() == b"x" * 100_000


def test_a_server_left_without_its_record_is_found_and_replaced(used: Path) -> None:
    settings = local.up(Settings.load(), parts=SMALL).settings
    write_row(settings, "kept")
    for name in SMALL:
        Home(settings).record_file(name).unlink()  # as after a kill -9 of `up` between start and record
    assert set(local.up(Settings.load(), parts=SMALL).names) == set(SMALL)
    assert rows(settings) == ["kept"]


def test_down_leaves_no_process_and_twice_is_harmless(used: Path) -> None:
    settings = local.up(Settings.load(), parts=SMALL).settings
    with closing(psycopg.connect(postgres.sibling_url(settings, "clarity"))):  # an open session does not hold it up
        assert len(processes(used)) > len(SMALL)  # PostgreSQL's children are seen, too
        assert local.down(settings) == list(SMALL)
    assert processes(used) == []
    assert set(states(settings).values()) == {"stopped"}
    assert local.down(settings) == []


@pytest.mark.parametrize("killed", [False, True])
def test_down_leaves_no_socket_of_the_store_in_tmp(home: Path, killed: bool) -> None:
    settings = local.up(Settings.load(), parts=("s3",)).settings
    table = Home(settings).ports
    ours = [f"seaweedfs-*-{table[name]}.sock" for name in s3.ObjectStore.ports]
    assert any(found for name in ours for found in Path("/tmp").glob(name))
    if killed:
        kill(pids(settings)["s3"])
    local.down(settings)
    assert [found for name in ours for found in Path("/tmp").glob(name)] == []


def test_a_socket_where_another_store_answers_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a whole path would not fit into a socket's name
    path = Path("store.sock")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        sockets.remove_dead(path)
        assert path.exists()
    sockets.remove_dead(path)
    assert not path.exists()
    sockets.remove_dead(path)


def test_down_takes_away_the_temporary_files_that_a_killed_worker_left(home: Path) -> None:
    place = Home(Settings.load())
    place.make()
    folder = worker._temporary(place)
    (folder / "runner_storage" / "lost").mkdir(parents=True)
    local.down(place.settings)
    assert not folder.exists()


def test_two_clones_run_side_by_side(home: Path, tmp_path: Path) -> None:
    one = local.up(Settings.load(), parts=SMALL).settings
    two = local.up(elsewhere(tmp_path / "other" / "home"), parts=SMALL).settings
    try:
        write_row(one, "one")
        write_row(two, "two")
        assert (rows(one), rows(two)) == (["one"], ["two"])
    finally:
        local.down(two)
    assert states(one)["postgres"] == "running"


def test_a_part_in_the_environment_is_used_and_nothing_local_replaces_it(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = local.up(elsewhere(tmp_path / "theirs"), parts=SMALL).settings
    try:
        monkeypatch.setenv("CLARITY_DATABASE_URL", theirs.need("database_url"))
        started = local.up(Settings.load(), parts=SMALL)
        assert started.names == ("s3",)
        assert "CLARITY_DATABASE_URL" not in Home(started.settings).local_addresses()
        assert not (home / "postgres").exists()
        told = {part.name: part for part in local.status(Settings.load())}
        assert (told["postgres"].state, told["postgres"].external) == ("running", True)
        assert theirs.need("database_url").split(":")[2].split("@")[0] not in told["postgres"].url
    finally:
        local.down(theirs)
    assert states(Settings.load())["postgres"] == "unreachable"
    with pytest.raises(StackError, match="postgres: CLARITY_DATABASE_URL does not answer, and nothing"):
        local.up(Settings.load(), parts=SMALL)


def test_a_port_that_a_stranger_took_is_replaced_by_another(used: Path) -> None:
    settings = local.up(Settings.load(), parts=SMALL).settings
    write_row(settings, "kept")
    taken = make_url(settings.need("database_url")).port
    local.down(settings)
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", taken))
        stranger.listen()
        moved = local.up(Settings.load(), parts=SMALL).settings
        assert make_url(moved.need("database_url")).port != taken
        assert moved.s3_endpoint_url == settings.s3_endpoint_url
        assert rows(Settings.load()) == ["kept"]


def test_a_part_that_cannot_start_is_named_with_its_last_words_and_the_others_are_stopped_again(used: Path) -> None:
    settings = local.up(Settings.load(), parts=SMALL).settings
    local.down(settings)
    with (used / "postgres" / "postgresql.conf").open("a") as broken:
        broken.write("shared_buffers = lots\n")
    with pytest.raises(StackError, match=r"postgres: ended while starting(.|\n)*shared_buffers"):
        local.up(Settings.load(), parts=SMALL)
    assert processes(used) == []


def test_the_pid_file_of_a_crashed_server_does_not_stop_the_next_even_if_its_pid_is_somebody_elses(used: Path) -> None:
    settings = local.up(Settings.load(), parts=("postgres",)).settings
    write_row(settings, "kept")
    pid_file = used / "postgres" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    kill(pids(settings)["postgres"])
    stranger = subprocess.Popen(["sleep", "60"], user=used.joinpath("postgres").stat().st_uid)
    try:
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        local.up(Settings.load(), parts=("postgres",))
        assert rows(settings) == ["kept"]
    finally:
        stranger.kill()
        stranger.wait()


def test_an_interrupted_initialisation_leaves_nothing_half_made(home: Path) -> None:
    (home / "postgres-unfinished").mkdir(parents=True)
    (home / "postgres-unfinished" / "PG_VERSION").write_text("18\n")
    settings = local.up(Settings.load(), parts=("postgres",)).settings
    write_row(settings, "whole")
    assert not (home / "postgres-unfinished").exists()


def test_a_number_that_is_a_strangers_process_now_is_neither_running_nor_stopped_by_us(used: Path) -> None:
    settings = local.up(Settings.load(), parts=("postgres",)).settings
    local.down(settings)
    with subprocess.Popen(["sleep", "60"]) as stranger:
        Record(stranger.pid, started=time.time() - 3600).write(Home(settings).record_file("postgres"))
        assert states(settings)["postgres"] == "dead"
        local.down(settings)
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_foreground_stops_what_it_started_when_it_is_interrupted(used: Path, how: signal.Signals) -> None:
    child = subprocess.Popen(
        [shutil.which("clarity", path=Path(sys.executable).parent) or "clarity", "up", "--part", "postgres"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert child.stdout is not None
    for line in child.stdout:  # its table says so when the part answers
        if line.startswith("postgres: running"):
            break
    assert states(Settings.load())["postgres"] == "running"
    child.send_signal(how)
    child.communicate(timeout=60)
    assert child.returncode == 0
    assert states(Settings.load())["postgres"] == "stopped"


def test_an_unknown_part_is_refused_with_the_known_ones(home: Path) -> None:
    with pytest.raises(StackError, match="redis: not a part of the stack, which has postgres, s3, prefect"):
        local.up(Settings.load(), parts=("redis",))


def test_a_home_that_cannot_be_written_is_named(home: Path) -> None:
    home.parent.mkdir(parents=True)
    home.write_text("a file, not a folder")
    with pytest.raises(StackError, match=r"home: .*the stack has no place for its data"):
        local.up(Settings.load(), parts=SMALL)
    home.unlink()


def test_every_variable_of_the_settings_is_explained_in_the_example() -> None:
    text = (Path(__file__).resolve().parents[2] / ".env.example").read_text()
    for info in Settings.model_fields.values():
        assert f"\n#{info.alias}=" in text
