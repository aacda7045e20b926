"""A DVC workspace: one writer, DVC's own order of stages, addresses written and secrets not."""

import multiprocessing
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from clarity.data import leash, template
from clarity.data.workspace import Workspace, version_of
from clarity.errors import AlreadyRunning, WorkspaceError
from clarity.params import Params
from clarity.screening import policy
from clarity.settings import Settings
from tests.conftest import PROJECT

STAGES = """stages:
  a_last:
    cmd: cp out/first out/last
    deps: [out/first]
    outs: [out/last]
  b_first:
    cmd: mkdir -p out; cp in out/first
    deps: [in]
    outs: [out/first]
  c_fails:
    cmd: echo the reason; exit 7
    deps: [in]
  d_lasts:
    cmd: echo $$ > pid; sleep 60; echo over
    deps: [in]
"""
REPRO = """
import signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell puts into the background ignores it
from clarity.data.workspace import Workspace
from clarity.settings import Settings
Workspace(Path(sys.argv[1]), Settings()).repro("d_lasts")
"""
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if len(sys.argv) > 1:
    subprocess.Popen([sys.executable, "-c", sys.argv[1]])
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace without a store: nothing here is pushed."""
    settings = Settings(
        CLARITY_HOME=tmp_path / "home",
        CLARITY_S3_ENDPOINT_URL="http://127.0.0.1:9",
        CLARITY_S3_ACCESS_KEY_ID="an-id",
        CLARITY_S3_SECRET_ACCESS_KEY="a-secret",
        CLARITY_S3_BUCKET="bucket",
    )
    made = Workspace(tmp_path / "workspace", settings)
    made.init()
    (made.path / "dvc.yaml").write_text(STAGES)
    (made.path / "in").write_text("1")
    return made


def test_stages_come_in_dvcs_order_and_run_only_when_something_changed(workspace: Workspace) -> None:
    stages = workspace.stages()
    assert stages.index("b_first") < stages.index("a_last")
    lines: list[str] = []
    assert workspace.repro("b_first", on_line=lines.append) == "ran"
    assert any("b_first" in line for line in lines)
    assert workspace.repro("b_first") == "cached"
    assert workspace.repro("a_last") == "ran"
    (workspace.path / "in").write_text("2")
    assert workspace.repro("b_first") == "ran"
    assert (workspace.path / "out" / "first").read_text() == "2"


def test_a_stage_that_fails_is_an_error_with_its_last_lines(workspace: Workspace) -> None:
    with pytest.raises(WorkspaceError, match=r"`dvc repro --single-item c_fails` ended with \d+: .*the reason"):
        workspace.repro("c_fails")


def under_us() -> list[psutil.Process]:
    """DVC and its leash, as children of this process."""
    return [one for one in psutil.Process().children(recursive=True) if "dvc_commands" in _command(one)]


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # it is over: a zombie, or not even that
        return ""


def test_under_one_lock_one_dvc_runs_all_commands_and_ends_with_it(workspace: Workspace) -> None:
    with workspace.lock():
        workspace.stages()
        first = under_us()
        assert first
        with pytest.raises(WorkspaceError, match="c_fails"):
            workspace.repro("c_fails")
        assert workspace.repro("b_first") == "ran"
        assert under_us() == first
    assert under_us() == []


def test_a_command_that_is_left_in_the_middle_ends_and_the_next_one_runs(workspace: Workspace) -> None:
    def leave(_line: str) -> None:
        raise KeyboardInterrupt

    with workspace.lock():
        with pytest.raises(KeyboardInterrupt):
            workspace.repro("d_lasts", on_line=leave)
        assert workspace.repro("b_first") == "ran"


def test_a_dvc_that_was_killed_between_commands_is_replaced_and_one_in_the_middle_is_an_error(
    workspace: Workspace,
) -> None:
    def kill(line: str = "") -> None:
        if "d_lasts" in line or not line:
            leash = under_us()[0]  # first, or it would still tell how DVC ended
            for process in (leash, *leash.children(recursive=True)):
                process.kill()

    with workspace.lock():
        workspace.stages()
        first = under_us()
        kill()
        psutil.wait_procs(first, 30)
        assert workspace.repro("b_first") == "ran"
        with pytest.raises(WorkspaceError, match=r"`dvc repro --single-item d_lasts` ended with -9"):
            workspace.repro("d_lasts", on_line=kill)
        assert workspace.repro("b_first") == "cached"


def test_a_stage_finds_nothing_in_its_input(workspace: Workspace) -> None:
    (workspace.path / "dvc.yaml").write_text(STAGES + "  e_reads:\n    cmd: cat > read\n    deps: [in]\n")
    with workspace.lock():
        workspace.repro("e_reads")
        assert workspace.repro("b_first") == "ran"
    assert (workspace.path / "read").read_text() == ""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_a_stage_ends_with_the_process_that_ran_it_whatever_ended_that(
    workspace: Workspace, how: signal.Signals
) -> None:
    with subprocess.Popen([sys.executable, "-c", REPRO, workspace.path], stderr=subprocess.DEVNULL) as child:
        stage = psutil.Process(int(soon(lambda: (workspace.path / "pid").read_text().strip())))
        started = [stage, *stage.parents()]
        started = started[: started.index(psutil.Process(child.pid))]
        child.send_signal(how)
        assert child.wait(60) != 0
    with workspace.lock(wait_s=20):  # nobody writes before all of them are gone
        assert [process for process in started if runs(process)] == []
    (workspace.path / "in").write_text("2")
    assert workspace.repro("b_first") == "ran"


def test_what_does_not_end_when_it_is_asked_to_is_made_to() -> None:
    command = [sys.executable, "-I", leash.__file__, "0.3", sys.executable, "-c", STUBBORN, STUBBORN]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert child.stdout is not None
    assert [child.stdout.readline() for _ in range(2)] == ["ready\n"] * 2
    started = psutil.Process(child.pid).children(recursive=True)
    assert len(started) == 2
    child.communicate(timeout=30)
    assert [process for process in started if runs(process)] == []


def test_a_command_on_a_leash_gives_its_own_exit_code() -> None:
    def ended(code: str) -> int:
        command = [sys.executable, "-I", leash.__file__, "1", sys.executable, "-c", code]
        with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as child:
            return child.wait(30)

    assert ended("raise SystemExit(7)") == 7
    assert ended("import os; os.kill(os.getpid(), 9)") == 128 + signal.SIGKILL


def soon(found: Callable[[], str]) -> str:
    """What ``found`` gives once it gives anything."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            if said := found():
                return said
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError


def runs(process: psutil.Process) -> bool:
    """Whether it can do anything yet: the kernel takes its memory first, then closes its files, which those who wait
    for it see, and only then is it a zombie.
    """
    try:
        return process.memory_info().vms > 0
    except psutil.NoSuchProcess:
        return False


def test_addresses_are_written_and_secrets_are_not(workspace: Workspace) -> None:
    local = (workspace.path / ".dvc" / "config.local").read_text()
    assert "s3://bucket/dvc" in local and "http://127.0.0.1:9" in local
    written = [path.read_bytes() for path in (workspace.path / ".dvc").rglob("*") if path.is_file()]
    assert not any(b"a-secret" in text or b"an-id" in text for text in written)


def _hold(path: Path, taken: "multiprocessing.synchronize.Event") -> None:  # type: ignore[name-defined]
    with Workspace(path, Settings()).lock():
        taken.set()
        time.sleep(60)


def test_another_process_that_writes_is_named_and_a_dead_one_holds_nothing(workspace: Workspace) -> None:
    spawn = multiprocessing.get_context("spawn")
    taken = spawn.Event()
    other = spawn.Process(target=_hold, args=(workspace.path, taken))
    other.start()
    assert taken.wait(60)
    with pytest.raises(AlreadyRunning, match="another process writes"), workspace.lock(wait_s=0.3):
        pass
    other.kill()
    other.join()
    with workspace.lock(wait_s=5):
        pass


def test_the_holder_may_take_the_lock_again_and_another_thread_may_not(workspace: Workspace) -> None:
    refused: list[AlreadyRunning] = []

    def try_it() -> None:
        try:
            with workspace.lock(wait_s=0.1):
                pass
        except AlreadyRunning as error:
            refused.append(error)

    with workspace.lock(), workspace.lock(wait_s=0):
        thread = threading.Thread(target=try_it)
        thread.start()
        thread.join()
    assert len(refused) == 1


def test_a_folder_without_dvc_or_without_data_is_named(tmp_path: Path) -> None:
    bare = Workspace(tmp_path, Settings())
    with pytest.raises(WorkspaceError, match="no DVC workspace"):
        bare.dvc("status")
    with pytest.raises(WorkspaceError, match="no data set yet; `clarity ingest` makes one"):
        bare.data_version()
    with pytest.raises(WorkspaceError, match="not a file that DVC wrote"):
        version_of("outs: []")


def project(root: Path) -> Path:
    for name, text in {
        "clarity/a.py": "1",
        "clarity/sub/b.py": "2",
        "flows/c.py": "3",
        "dvc.yaml": "stages: {}",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "clarity" / "__pycache__").mkdir(exist_ok=True)
    (root / "clarity" / "__pycache__" / "a.pyc").write_text("x")
    return root


def test_a_workspace_of_its_own_copies_the_code_and_follows_it(tmp_path: Path, params: Params) -> None:
    source, target = project(tmp_path / "project"), tmp_path / "own"
    template.lay_out(source, target, params)
    assert (target / "clarity" / "sub" / "b.py").read_text() == "2"
    assert not list(target.rglob("*.pyc"))
    unchanged = (target / "flows" / "c.py").stat().st_mtime_ns
    (source / "clarity" / "a.py").write_text("new")
    (source / "clarity" / "sub" / "b.py").unlink()
    (target / "data").mkdir()
    template.lay_out(source, target, params)
    assert (target / "clarity" / "a.py").read_text() == "new"
    assert not (target / "clarity" / "sub" / "b.py").exists()
    assert (target / "flows" / "c.py").stat().st_mtime_ns == unchanged
    assert (target / "data").is_dir()
    from clarity import params as parameters

    assert parameters.load(target / "conf" / "pipeline.yaml") == params


def test_the_project_itself_is_no_workspace_of_its_own(tmp_path: Path, params: Params) -> None:
    source = project(tmp_path / "project")
    with pytest.raises(WorkspaceError, match="is the project itself"):
        template.lay_out(source, source, params)
    with pytest.raises(WorkspaceError, match=r"no dvc\.yaml"):
        template.lay_out(tmp_path / "nowhere", tmp_path / "own", params)


def test_a_workspace_of_its_own_has_all_that_a_night_in_it_reads(tmp_path: Path, params: Params) -> None:
    template.lay_out(PROJECT, tmp_path / "demo", params)
    assert policy.load(tmp_path / "demo" / policy.FOLDER, params.screening.policy).name == params.screening.policy
