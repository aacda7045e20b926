"""Photographs handed to workers and answered: full, late, left alone and dead. Real files and processes, no service."""

import asyncio
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from litserve import LitServer

from clarity.errors import NoChampion, StorageUnavailable, UnreadableImage
from clarity.params import Params
from clarity.settings import Settings
from serving import app
from serving.crates import CRATES, Answered, Crates
from serving.errors import CallerLeft, Overdue, Overloaded
from serving.hangup import Hangup
from serving.reply import Drawing, Result
from serving.site import Site
from serving.source import Source
from serving.work import QUEUE, Desk
from tests.conftest import PROJECT

AT_ONCE = 2
"""Photographs that the desk hands over at once: two batches of one."""


@pytest.fixture(scope="module")
def server(params: Params, tmp_path_factory: pytest.TempPathFactory) -> LitServer:
    """LitServe's, not started."""
    settings = Settings(CLARITY_HOME=tmp_path_factory.mktemp("home"), CLARITY_PROJECT=PROJECT)
    return app.build(Source.of(settings, "none", None), Site(settings, params))


class Counter:
    """A desk, and the other side of it: LitServe's queue and the files, where a worker would be."""

    def __init__(self, server: LitServer, params: Params, run: Path, **limits: Any) -> None:
        self.files = run / CRATES
        self.files.mkdir()
        self.crates, self.queue, self.server = Crates(self.files), Queue[Any](), server
        # What LitServe puts there when it starts.
        server.litapi_request_queues, server.response_buffer = {QUEUE: self.queue}, {}
        server.app.response_queue_id = 0
        values = {"workers": 1, "max_batch_size": 1, "timeout_s": 5.0, "max_waiting": 8} | limits
        self.desk = Desk(server, params.serving.model_copy(update=values), run)

    def ask(self, count: int = 1) -> "asyncio.Task[list[Result]]":
        return asyncio.create_task(self.desk.grade([b"photograph"] * count, Drawing(), keep=False))

    async def called(self) -> str:
        """The next job that LitServe's queue names. One that is taken may be named again: a worker passes it over."""
        while not self.crates.is_unclaimed(name := str((await asyncio.to_thread(self.queue.get, timeout=5))[1])):
            pass
        return name

    def answer(self, name: str, answered: Answered) -> None:
        """As a worker does, and as LitServe passes it on."""
        assert self.crates.claim(name) is not None
        self.crates.answer(name, answered)
        self.server.response_buffer[name].event.set()

    @contextmanager
    def worker(self, name: str) -> Iterator["subprocess.Popen[bytes]"]:
        """A process that has claimed the job, and will not answer."""
        with subprocess.Popen(["sleep", "60"]) as process:
            try:
                (self.files / name).rename(self.files / f"{name}.{process.pid}")
                yield process
            finally:
                process.kill()

    async def is_empty(self) -> bool:
        """Nothing is kept of any job, once the desk's thread has laid down what it had begun to."""
        await asyncio.sleep(0.05)
        return not list(self.files.iterdir()) and not self.server.response_buffer


Open = Callable[..., Counter]


@pytest.fixture
def counter(server: LitServer, params: Params, tmp_path: Path) -> Open:
    return lambda **limits: Counter(server, params, tmp_path, **limits)


def run(story: Awaitable[None]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(20):
            await story

    asyncio.run(whole())


def test_each_caller_gets_the_results_of_its_own_photographs(counter: Open) -> None:
    async def story(at: Counter) -> None:
        first, second = at.ask(), at.ask()
        one, other = await at.called(), await at.called()
        at.answer(other, [UnreadableImage("the second")])
        at.answer(one, [UnreadableImage("the first")])
        assert [str(error) for error in (*await first, *await second)] == ["the first", "the second"]
        assert await at.is_empty()

    run(story(counter()))


def test_an_error_that_is_a_workers_whole_answer_is_raised(counter: Open) -> None:
    async def story(at: Counter) -> None:
        asked = at.ask(2)
        at.answer(await at.called(), NoChampion("model x: no version is promoted"))
        with pytest.raises(NoChampion, match="no version"):
            await asked
        assert await at.is_empty()

    run(story(counter()))


def test_at_the_deadline_it_is_overdue_and_the_job_is_taken_back_claimed_or_not(counter: Open) -> None:
    async def story(at: Counter) -> None:
        claimed, unclaimed = at.ask(), at.ask()
        with at.worker(await at.called()):
            for asked in (claimed, unclaimed):
                with pytest.raises(Overdue, match=r"1 photographs: no answer within 0\.2 s"):
                    await asked
            assert await at.is_empty()

    run(story(counter(timeout_s=0.2)))


def test_beyond_its_limit_it_refuses_at_once_and_takes_again_what_has_room(counter: Open) -> None:
    async def story(at: Counter) -> None:
        waiting = at.ask(2)
        name = await at.called()
        with pytest.raises(Overloaded, match="2 photographs: 2 wait already, at most 3 may"):
            await at.ask(2)
        at.answer(name, [UnreadableImage("x")] * 2)
        await waiting
        more = at.ask(2)
        at.answer(await at.called(), [UnreadableImage("x")] * 2)
        assert len(await more) == 2

    run(story(counter(max_waiting=3)))


def test_a_batch_above_the_limit_is_taken_where_nobody_waits(counter: Open) -> None:
    async def story(at: Counter) -> None:
        asked = at.ask(5)
        at.answer(await at.called(), [UnreadableImage("x")] * 5)
        assert len(await asked) == 5

    run(story(counter(max_waiting=3)))


def test_it_hands_over_two_batches_and_the_next_when_one_is_answered(counter: Open) -> None:
    async def story(at: Counter) -> None:
        asked = [at.ask() for _ in range(AT_ONCE + 1)]
        first, second = [await at.called() for _ in range(AT_ONCE)]
        await asyncio.sleep(0.05)
        assert at.queue.empty()
        at.answer(first, [UnreadableImage("x")])
        for name in (second, await at.called()):
            at.answer(name, [UnreadableImage("x")])
        assert len(await asyncio.gather(*asked)) == AT_ONCE + 1

    run(story(counter()))


def test_what_waits_and_is_left_alone_is_never_handed_over(counter: Open) -> None:
    async def story(at: Counter) -> None:
        asked = [at.ask() for _ in range(AT_ONCE + 1)]
        names = [await at.called() for _ in range(AT_ONCE)]
        asked[-1].cancel()
        for name in names:
            at.answer(name, [UnreadableImage("x")])
        await asyncio.gather(*asked[:-1])
        assert at.queue.empty() and await at.is_empty()

    run(story(counter()))


def test_a_caller_who_hangs_up_takes_its_photographs_along(counter: Open) -> None:
    async def story(at: Counter) -> None:
        connection: asyncio.Queue[Any] = asyncio.Queue()
        connection.put_nowait({"type": "http.request", "body": b"", "more_body": False})

        async def route(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await at.desk.grade([b"photograph"], Drawing(), keep=False)

        async def nowhere(_: Any) -> None: ...

        request = asyncio.create_task(Hangup(route)({"type": "http"}, connection.get, nowhere))
        await at.called()
        connection.put_nowait({"type": "http.disconnect"})
        with pytest.raises(CallerLeft, match="they are not graded"):
            await request
        assert await at.is_empty()

    run(story(counter()))


def test_a_job_whose_worker_died_is_tried_again_alone_and_answered(counter: Open) -> None:
    async def story(at: Counter) -> None:
        watch = asyncio.create_task(at.desk.keep_watch())
        asked, later = at.ask(), at.ask()
        name, other = await at.called(), await at.called()
        with at.worker(name) as worker:
            await asyncio.sleep(0.3)  # the watch has seen it
            worker.kill()
            await asyncio.sleep(0.6)
        names = {at.queue.get_nowait()[1] for _ in range(at.queue.qsize())}
        assert name not in names, "beside another's job, which it might cost its worker"
        at.answer(other, [UnreadableImage("the other")])
        assert [str(error) for error in await later] == ["the other"]
        while await at.called() != name:
            pass
        at.answer(name, [UnreadableImage("at last")])
        assert [str(error) for error in await asked] == ["at last"]
        watch.cancel()

    run(story(counter()))


def test_a_job_that_cost_two_workers_their_lives_is_refused_and_the_next_one_goes_out(counter: Open) -> None:
    async def story(at: Counter) -> None:
        watch = asyncio.create_task(at.desk.keep_watch())
        asked = at.ask()
        for _ in range(2):
            with at.worker(await at.called()) as worker:
                await asyncio.sleep(0.3)
                worker.kill()
                await asyncio.sleep(0.3)
        with pytest.raises(Overdue, match="the worker that graded them died, 2 times"):
            await asked
        assert await at.is_empty()
        after = at.ask()
        at.answer(await at.called(), [UnreadableImage("x")])
        assert len(await after) == 1
        watch.cancel()

    run(story(counter()))


def test_an_answer_that_lay_there_when_its_worker_died_counts(counter: Open) -> None:
    async def story(at: Counter) -> None:
        asked = at.ask()
        name = await at.called()
        at.crates.claim(name)
        at.crates.answer(name, [UnreadableImage("before it died")])
        with subprocess.Popen(["true"]) as worker:
            pass
        at.desk.lost(worker.pid)  # before LitServe has passed the message on
        assert [str(error) for error in await asked] == ["before it died"]

    run(story(counter()))


def test_a_job_that_a_dead_worker_was_told_of_is_said_again(counter: Open) -> None:
    async def story(at: Counter) -> None:
        asked = at.ask()
        name = await at.called()  # and the worker dies before it claims it
        at.desk.call_again()
        assert await at.called() == name
        at.answer(name, [UnreadableImage("x")])
        await asked
        at.desk.call_again()
        await asyncio.sleep(0.05)
        assert at.queue.empty()

    run(story(counter()))


def test_without_room_to_lay_a_photograph_down_the_caller_is_told(counter: Open) -> None:
    async def story(at: Counter) -> None:
        shutil.rmtree(at.files)
        asked = at.ask()
        with pytest.raises(StorageUnavailable, match="no room to hand a photograph over"):
            await asked

    run(story(counter()))
