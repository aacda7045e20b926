"""More callers than it can serve, callers that leave, workers that die: each request is answered, and nothing hangs."""

import re
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from clarity.inference.bundle import Bundle
from tests import tiny
from tests.serving.live import Live, run_folder, serving, until

EYE = tiny.jpeg(tiny.eye())
LIMIT = 6


@pytest.fixture(scope="module")
def live(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    home = tmp_path_factory.mktemp("home")
    limits = home / "limits.yaml"
    limits.write_text(f"serving:\n  max_waiting: {LIMIT}\n  max_batch_size: 2\n  timeout_s: 40.0\n")
    with serving(home / "serve", "--bundle", str(bundle.path), configuration=[limits]) as running:
        assert running.predict(EYE).status_code == 200
        yield running


@contextmanager
def suspended(live: Live) -> Iterator[psutil.Process]:
    """The worker takes nothing until the block ends."""
    worker = live.worker()
    worker.suspend()
    try:
        yield worker
    finally:
        if worker.is_running():
            worker.resume()


def figure(live: Live, name: str) -> float:
    with live.client as client:
        found = re.search(rf"^{re.escape(name)} (\S+)$", client.get("/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def waiting(live: Live) -> float:
    return figure(live, "clarity_waiting")


def ask(live: Live, pool: ThreadPoolExecutor, count: int) -> list[Future[httpx.Response]]:
    return [pool.submit(live.predict, EYE) for _ in range(count)]


def test_beyond_the_limit_it_refuses_at_once_and_serves_those_that_wait(live: Live) -> None:
    with ThreadPoolExecutor(LIMIT) as pool, suspended(live) as worker:
        asked = ask(live, pool, LIMIT)
        until(lambda: waiting(live) == LIMIT)
        began = time.monotonic()
        refused = live.predict(EYE)
        assert time.monotonic() - began < 15  # waiting for a place, it would take the deadline's 40 s
        assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
        assert refused.headers["retry-after"].isdigit()
        worker.resume()
        assert {one.result().status_code for one in asked} == {200}
    assert waiting(live) == 0


def test_callers_that_leave_free_their_places_and_are_not_graded(live: Live) -> None:
    before = figure(live, "clarity_batch_size_sum")
    with suspended(live) as worker:
        address = httpx.URL(live.url)
        head = f"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-type: image/jpeg\r\ncontent-length: {len(EYE)}\r\n\r\n"
        callers = [socket.create_connection((address.host, address.port or 80)) for _ in range(LIMIT)]
        for caller in callers:
            caller.sendall(head.encode() + EYE)
        until(lambda: waiting(live) == LIMIT)
        for caller in callers:
            caller.close()
        until(lambda: waiting(live) == 0)
        worker.resume()
        assert live.predict(EYE).status_code == 200
    graded = figure(live, "clarity_batch_size_sum") - before
    assert graded <= 1 + 2  # the worker may have been about to take a batch when it was suspended
    assert figure(live, 'clarity_refusals_total{code="caller_left"}') >= LIMIT


def test_a_worker_that_is_killed_costs_its_callers_time_and_no_answer(live: Live) -> None:
    with ThreadPoolExecutor(LIMIT) as pool, suspended(live) as worker:
        asked = ask(live, pool, LIMIT)
        until(lambda: waiting(live) == LIMIT)
        worker.kill()
        assert Counter(one.result().status_code for one in asked) == {200: LIMIT}
    assert live.worker().pid != worker.pid
    assert figure(live, "clarity_workers_lost_total") == 1


def test_workers_that_are_killed_while_they_grade_lose_no_request(live: Live) -> None:
    with ThreadPoolExecutor(4) as pool:
        for _ in range(2):
            lost = figure(live, "clarity_workers_lost_total")
            asked = ask(live, pool, 4)
            time.sleep(0.05)
            live.worker().kill()
            for one in asked:
                answer = one.result()
                assert answer.status_code == 200, answer.text
            until(lambda lost=lost: figure(live, "clarity_workers_lost_total") == lost + 1)  # type: ignore[misc]
            assert live.predict(EYE).status_code == 200


def test_a_photograph_that_kills_its_worker_twice_is_refused_and_the_next_is_answered(live: Live) -> None:
    with ThreadPoolExecutor(1) as pool, suspended(live) as worker:
        (asked,) = ask(live, pool, 1)
        until(lambda: bool(_jobs(live)))
        (job,) = _jobs(live)
        if not job.suffix:
            job.rename(job.with_suffix(f".{worker.pid}"))  # as if it had taken it
        worker.kill()
        until(lambda: any(one.suffix not in ("", ".draft", f".{worker.pid}") for one in _jobs(live)))
        (job,) = _jobs(live)
        psutil.Process(int(job.suffix[1:])).kill()  # the next one has it, and is still loading its model
        answer = asked.result()
    assert (answer.status_code, answer.json()["code"]) == (503, "overdue")
    assert "died, 2 times" in answer.json()["detail"]
    assert live.predict(EYE).status_code == 200
    assert not _jobs(live)


def test_what_it_counts_is_of_all_its_processes_and_nothing_of_the_patient(live: Live) -> None:
    photographs = figure(live, "clarity_batch_size_sum")
    totals = figure(live, 'clarity_seconds_count{step="total"}')
    with live.client as client:
        sent = {"image": ("Erika Mustermann 1951.jpg", EYE)}
        assert client.post("/v1/predict", files=sent).status_code == 200
        said = client.get("/metrics")
    assert said.headers["content-type"].startswith("text/plain")
    assert figure(live, "clarity_batch_size_sum") == photographs + 1  # counted by the worker
    assert figure(live, 'clarity_seconds_count{step="total"}') == totals + 1  # counted by the HTTP process
    for step in ("queue", "grade", "heatmap"):
        assert figure(live, f'clarity_seconds_count{{step="{step}"}}') > 0
    assert 'clarity_photographs_total{model_version="bundle-' in said.text or 'outcome="grade' in said.text
    assert "clarity_model_generation{" in said.text
    assert "Mustermann" not in said.text


def test_a_stop_answers_all_that_was_taken(bundle: Bundle, tmp_path: Path) -> None:
    with serving(tmp_path, "--bundle", str(bundle.path)) as live, ThreadPoolExecutor(8) as pool:
        live.predict(EYE)
        with suspended(live) as worker:
            asked = ask(live, pool, 8)
            until(lambda: waiting(live) == 8)
            live.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            worker.resume()
            assert {one.result().status_code for one in asked} == {200}
        assert live.process.wait(30) == 0


def _jobs(live: Live) -> list[Path]:
    """The files of the jobs that are under way."""
    return list((run_folder(live) / "jobs").iterdir())
