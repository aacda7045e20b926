"""Two inference workers share the photographs, and either may die."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from clarity.inference.bundle import Bundle
from tests import tiny
from tests.serving.live import Live, run_folder, serving, until

EYE = tiny.jpeg(tiny.eye())
CALLERS = 4
WITHIN_S = 60.0


@pytest.fixture(scope="module")
def live(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    home = tmp_path_factory.mktemp("home")
    (home / "two.yaml").write_text("serving:\n  workers: 2\n  max_batch_size: 1\n")
    with serving(home / "serve", "--bundle", str(bundle.path), configuration=[home / "two.yaml"]) as running:
        until(lambda: len(served(running)) == 2, WITHIN_S)
        yield running


def served(live: Live) -> list[str]:
    """The version that each living worker serves, of those that do."""
    return [worker["version"] for worker in live.ready()["workers"] if worker["version"]]


def have_graded(live: Live) -> set[int]:
    """The ids of the processes that have counted a batch."""
    return {int(file.stem.partition("_")[2]) for file in (run_folder(live) / "metrics").glob("histogram_*.db")}


def test_two_workers_come_up_and_both_grade(live: Live) -> None:
    one, other = served(live)
    assert one == other
    workers = {worker.pid for worker in live.workers()}
    assert len(workers) == 2
    with ThreadPoolExecutor(CALLERS) as pool:
        answers = list(pool.map(lambda _: live.predict(EYE), range(40)))
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["model_version"] for answer in answers} == {one}
    assert workers <= have_graded(live)


def test_no_prediction_fails_while_one_worker_after_the_other_is_killed(live: Live) -> None:
    over, codes = threading.Event(), []

    def ask() -> None:
        while not over.is_set():
            codes.append(live.predict(EYE).status_code)

    with ThreadPoolExecutor(CALLERS) as pool:
        asking = [pool.submit(ask) for _ in range(CALLERS)]
        try:
            for worker in live.workers():
                before = len(codes)
                until(lambda before=before: len(codes) > before + CALLERS)  # type: ignore[misc]
                worker.kill()
                before = len(codes)
                until(lambda before=before: len(codes) > before + 2 * CALLERS, WITHIN_S)  # type: ignore[misc]
                until(lambda worker=worker: _replaced(live, worker.pid), WITHIN_S)  # type: ignore[misc]
        finally:
            over.set()
        for one in asking:
            one.result()
    assert set(codes) == {200}


def _replaced(live: Live, pid: int) -> bool:
    workers = live.workers()
    return len(workers) == 2 and pid not in {worker.pid for worker in workers} and len(served(live)) == 2
