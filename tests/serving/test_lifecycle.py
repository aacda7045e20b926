"""How the server starts, stops, and what it does while it has no model."""

import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from clarity.inference import spec as specs
from clarity.inference.bundle import Bundle
from clarity.registry.models import Registry
from clarity.settings import Settings
from tests import tiny
from tests.integration.registering import new_name, new_run
from tests.serving.live import COMMAND, PROJECT, Live, environment, gone, serving, until

EYE = tiny.jpeg(tiny.eye())


def interrupt(live: Live) -> None:
    os.killpg(live.process.pid, signal.SIGINT)  # Ctrl-C reaches the whole group of a terminal


@pytest.mark.parametrize("stop", [lambda live: live.process.terminate(), interrupt], ids=["SIGTERM", "Ctrl-C"])
def test_it_answers_what_it_took_and_leaves_no_process(
    bundle: Bundle, tmp_path: Path, stop: Callable[[Live], None]
) -> None:
    with serving(tmp_path, "--bundle", str(bundle.path)) as live:
        processes = live.processes()
        assert len(processes) >= 4
        live.predict(EYE)
        until(lambda: live.log.read_text().count("predict 200") == 1)  # it is written after the answer has left
        with ThreadPoolExecutor(6) as pool:
            pending = [pool.submit(live.predict, EYE) for _ in range(6)]
            until(lambda: live.log.read_text().count("predict 200") > 1)
            stop(live)
            taken = [one.result() for one in pending if one.exception() is None]
        assert taken and all(answer.status_code == 200 for answer in taken)
        assert live.process.wait(30) == 0
        assert gone(processes)
        assert "Traceback" not in live.log.read_text()


def test_not_even_a_killed_server_leaves_processes(bundle: Bundle, tmp_path: Path) -> None:
    with serving(tmp_path, "--bundle", str(bundle.path)) as live:
        processes = live.processes()
        live.process.kill()
        live.process.wait()
        assert gone(processes)


def test_a_lost_worker_is_a_503_at_the_deadline_and_is_replaced(bundle: Bundle, tmp_path: Path) -> None:
    quick = tmp_path / "quick.yaml"
    quick.write_text("serving:\n  timeout_s: 2.0\n")
    with serving(tmp_path / "home", "--bundle", str(bundle.path), configuration=[quick]) as live:
        live.predict(EYE)
        worker = live.worker()
        worker.suspend()  # as if it hung
        answer = live.predict(EYE)
        worker.kill()
        assert gone([worker])
        assert (answer.status_code, answer.json()["code"]) == (503, "overdue")
        assert answer.headers["retry-after"].isdigit()
        until(lambda: live.predict(EYE).status_code == 200, within_s=60)
        assert live.worker().pid != worker.pid


def test_without_a_registry_it_starts_and_says_what_is_missing(tmp_path: Path) -> None:
    with serving(tmp_path) as live:
        answer = live.predict(EYE)
        assert (answer.status_code, answer.json()["code"]) == (503, "not_configured")
        assert "clarity up" in answer.json()["detail"]


def test_a_registry_that_does_not_answer_is_said(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    with serving(tmp_path, MLFLOW_TRACKING_URI=address, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0") as live:
        answer = live.predict(EYE)
        assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")


@pytest.mark.stack
def test_without_a_champion_it_starts_and_with_one_it_serves_it(
    bundle: Bundle, tmp_path: Path, stack: Settings
) -> None:
    registry = Registry(stack.need("mlflow_tracking_uri"))
    name = new_name()
    named = tmp_path / "named.yaml"
    named.write_text(f"model:\n  name: {name}\n")
    services = {key: value for key, value in stack.environment().items() if key.startswith(("MLFLOW_", "AWS_"))}
    with serving(tmp_path / "none", configuration=[named], **services) as live:
        answer = live.predict(EYE)
        assert (answer.status_code, answer.json()["code"]) == (503, "no_champion")
        assert name in answer.json()["detail"]
    ref = registry.promote(registry.register(bundle.path, new_run(registry), name))
    with serving(tmp_path / "one", configuration=[named], **services) as live:
        answer = live.predict(EYE)
        assert answer.status_code == 200, answer.text
        assert answer.json()["model_version"] == ref.version
        loaded = {Path(region.path).name for one in live.processes() for region in one.memory_maps()}
        assert not {file for file in loaded if "torch" in file}


def _refused(arguments: list[str], home: Path) -> str:
    done = subprocess.run(
        [*COMMAND, "serve", "--config", str(PROJECT / "conf/pipeline.yaml"), *arguments],
        capture_output=True,
        text=True,
        env=environment(home),
        check=False,
        timeout=180,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_a_named_bundle_of_another_fingerprint_is_refused_at_once(bundle: Bundle, tmp_path: Path) -> None:
    copy = shutil.copytree(bundle.path, tmp_path / "bundle")
    spec = json.loads((copy / specs.NAME).read_text()) | {"fingerprint": "0" * 16}
    (copy / specs.NAME).write_text(json.dumps(spec))
    assert "imaging fingerprint 0000000000000000" in _refused(["--bundle", str(copy)], tmp_path)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    assert "not a bundle" in _refused(["--bundle", str(tmp_path)], tmp_path)


def test_a_port_in_use_or_a_strange_host_is_named(bundle: Bundle, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert f"127.0.0.1:{port}: Address already in use" in _refused(
            ["--bundle", str(bundle.path), "--port", port], tmp_path
        )
    assert "cannot be listened on" in _refused(["--bundle", str(bundle.path), "--host", "example.org"], tmp_path)
