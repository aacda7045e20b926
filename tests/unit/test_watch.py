"""Workers that die: who has given them jobs is told, once, whatever they had said by then."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.state import Board, State
from serving.watch import Watch


class Notes:
    """Who is concerned, and what it was told."""

    def __init__(self) -> None:
        self.have_jobs: set[int] = set()
        self.dead: list[int] = []
        self.calls = 0

    def claimants(self) -> set[int]:
        return self.have_jobs

    def lost(self, pid: int) -> None:
        self.dead.append(pid)
        self.have_jobs.discard(pid)

    def call_again(self) -> None:
        self.calls += 1


@pytest.fixture
def workers() -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Two processes that run."""
    made = [subprocess.Popen(["sleep", "60"]) for _ in range(2)]
    yield made
    for one in made:
        one.kill()
        one.wait()


def die(worker: "subprocess.Popen[bytes]") -> None:
    worker.kill()
    worker.wait()


def watching(board: Board, notes: Notes, *workers: "subprocess.Popen[bytes]") -> Watch:
    """On behalf of ``notes``, once it has seen these workers on the board."""
    watch = Watch(board, notes)
    for number, worker in enumerate(workers):
        board.write(State(number, worker.pid))
    watch.look()
    return watch


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path)


def test_while_all_live_nobody_is_told_anything(
    board: Board, notes: Notes, workers: list["subprocess.Popen[bytes]"]
) -> None:
    watch = watching(board, notes, *workers)
    for _ in range(2):
        watch.look()
    assert (notes.dead, notes.calls) == ([], 0)


def test_a_death_is_told_once_and_the_other_worker_is_left_alone(
    board: Board, notes: Notes, workers: list["subprocess.Popen[bytes]"]
) -> None:
    watch = watching(board, notes, *workers)
    die(workers[0])
    for _ in range(3):
        watch.look()
    assert notes.dead == [workers[0].pid]


def test_a_killed_process_that_nobody_has_buried_is_dead(
    board: Board, notes: Notes, workers: list["subprocess.Popen[bytes]"]
) -> None:
    watch = watching(board, notes, workers[0])
    workers[0].kill()
    end = time.monotonic() + 5
    while not notes.dead and time.monotonic() < end:
        watch.look()
    assert notes.dead == [workers[0].pid]


def test_a_worker_that_died_before_it_wrote_on_the_board_is_known_by_its_job(
    board: Board, notes: Notes, workers: list["subprocess.Popen[bytes]"]
) -> None:
    watch = Watch(board, notes)
    die(workers[0])
    notes.have_jobs = {workers[0].pid, workers[1].pid}
    watch.look()
    watch.look()
    assert notes.dead == [workers[0].pid]


def test_what_died_before_this_process_began_to_look_concerns_nobody(
    board: Board, notes: Notes, workers: list["subprocess.Popen[bytes]"]
) -> None:
    board.write(State(0, workers[0].pid))
    die(workers[0])
    Watch(board, notes).look()
    assert (notes.dead, notes.calls) == ([], 0)


def test_after_a_death_jobs_are_called_again_for_a_while_and_then_no_more(
    board: Board, notes: Notes, workers: list["subprocess.Popen[bytes]"]
) -> None:
    watch = watching(board, notes, workers[0])
    die(workers[0])
    watch.look()
    watch.look()
    assert notes.calls == 2
    time.sleep(2.6)
    watch.look()
    assert notes.calls == 2
