"""Where the chunks of a night are worked on: here, one after the other, or on the workers of a Dask cluster.

Calls are drawn as there is room and come back, each with its last state, as they finish: a night holds a few chunks
at a time however many wait. Which worker runs what, and again after another's death, is Dask's business; that this
costs time and never correctness is the business of the leases.
"""

import contextlib
import queue
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from inspect import signature
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from prefect import State

from clarity.errors import ClusterUnavailable, ScreeningIncomplete
from clarity.inference import processor
from clarity.params import ScreeningParams
from clarity.settings import Settings

if TYPE_CHECKING:
    from distributed import Client
    from prefect_dask.task_runners import DaskTaskRunner, PrefectDaskFuture

_AHEAD = 2
"""Chunks in flight for each thread of the cluster: one in work, one waiting beside it."""
_CONNECT_S = 30.0
_LOOK_S = 5.0
"""Between looks at whether any worker is left, while nothing finishes."""


@dataclass(frozen=True, slots=True)
class Call:
    """A task and what it is called with: references and small records only, as they may cross machines."""

    task: Any
    """Of Prefect."""
    arguments: tuple[Any, ...]


Finished = tuple[Call, State[Any] | ClusterUnavailable | ScreeningIncomplete]
Timer = Callable[[], contextlib.AbstractContextManager[None]]


def run(calls: Iterable[Call], params: ScreeningParams, settings: Settings, timer: Timer) -> Generator[Finished]:
    """Each call with its last state, in the order in which they finish; ``calls`` is drawn from as there is room.

    A chunk over which too many workers died comes back with ScreeningIncomplete in place of a state. ``timer`` is
    open while chunks are worked on and waited for. Raises ClusterUnavailable where the cluster cannot be reached, or
    had no worker for as long as a lease. Close it early and it waits for what is in flight: what that writes belongs
    to this night's report.
    """
    source = iter(calls)
    if params.runner == "local":
        for call in source:
            with timer():
                state = call.task(*call.arguments, return_state=True)
            yield call, state
        return
    first = list(islice(source, 1))  # a night with nothing to do starts no cluster
    if first:
        with _cluster(params, settings) as runner:
            yield from _OnDask(runner, timer, patience_s=params.lease_s).run(chain(first, source))


class _OnDask:
    """Chunks in flight on a cluster."""

    def __init__(self, runner: "DaskTaskRunner", timer: Timer, *, patience_s: float) -> None:
        self._runner, self._timer, self._patience_s = runner, timer, patience_s
        self._client: Client = runner.client
        self._flying: dict[object, Call] = {}
        self._done: queue.SimpleQueue[PrefectDaskFuture[Any]] = queue.SimpleQueue()

    def run(self, source: Iterator[Call]) -> Iterator[Finished]:
        try:
            while True:
                for call in islice(source, max(0, self._room() - len(self._flying))):
                    self._submit(call)
                if not self._flying:
                    return
                with self._timer():
                    future = self._next()
                yield self._flying.pop(future.task_run_id), _last_state(future)
        except (Exception, GeneratorExit):
            with contextlib.suppress(ClusterUnavailable):
                self._drain()
            raise

    def _submit(self, call: Call) -> None:
        named = signature(call.task.fn).bind(*call.arguments).arguments
        future = self._runner.submit(call.task, dict(named))
        self._flying[future.task_run_id] = call
        future.add_done_callback(lambda _: self._done.put(future))

    def _next(self) -> "PrefectDaskFuture[Any]":
        until = time.monotonic() + self._patience_s
        while True:
            try:
                return self._done.get(timeout=_LOOK_S)
            except queue.Empty:
                if self._threads():
                    until = time.monotonic() + self._patience_s
                elif time.monotonic() > until:
                    raise ClusterUnavailable(
                        f"Dask {self._client.scheduler.address}: no worker for {self._patience_s:.0f} s, given up"
                    ) from None

    def _drain(self) -> None:
        while self._flying:
            self._flying.pop(self._next().task_run_id)

    def _room(self) -> int:
        return _AHEAD * max(1, self._threads())

    def _threads(self) -> int:
        """Of all workers now: they may come and go."""
        try:
            return sum(self._client.nthreads().values())
        except (OSError, TimeoutError) as error:
            raise ClusterUnavailable(f"Dask: the scheduler does not answer any more ({error})") from None


def _last_state(future: "PrefectDaskFuture[Any]") -> Any:
    from distributed import CancelledError, KilledWorker

    try:
        return future.wrapped_future.result()
    except KilledWorker as error:
        died = error.allowed_failures + 1
        return ScreeningIncomplete(f"a chunk: {died} workers died over it; the next run tries it again")
    except (CancelledError, OSError) as error:
        return ClusterUnavailable(f"Dask: lost with a chunk in flight ({type(error).__name__})")


@contextlib.contextmanager
def _cluster(params: ScreeningParams, settings: Settings) -> Iterator["DaskTaskRunner"]:
    try:
        import dask
        from prefect_dask.task_runners import DaskTaskRunner
    except ImportError:
        raise ClusterUnavailable("runner dask: Dask is not installed, pip install 'clarity-dr[dask]'") from None
    where: dict[str, Any] = {"address": settings.dask_address} if settings.dask_address else _here(params, settings)
    # a photograph that kills its workers is given up by the leases, which know how often; Dask shall not be quicker
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": params.max_attempts}),
        DaskTaskRunner(**where, client_kwargs={"timeout": _CONNECT_S}) as runner,
    ):
        try:
            runner.client.wait_for_workers(1, timeout=_CONNECT_S)
        except (OSError, TimeoutError) as error:
            at = settings.dask_address or "on this machine"
            raise ClusterUnavailable(f"Dask {at}: no scheduler with a worker answers ({error})") from None
        yield runner


def _here(params: ScreeningParams, settings: Settings) -> dict[str, Any]:
    share = (settings.cores or processor.cores()) // params.workers
    return {"cluster_class": "distributed.LocalCluster", "cluster_kwargs": local(params.workers, share, settings)}


def local(workers: int, cores: int, settings: Settings) -> dict[str, Any]:
    """What makes a cluster on this machine: processes of one thread, which use so many cores each and no more.

    They inherit this process's environment, and with it the addresses of the services.
    """
    share = str(max(1, cores))
    return {
        "n_workers": workers,
        "threads_per_worker": 1,
        "processes": True,
        "host": "127.0.0.1",
        "dashboard_address": "127.0.0.1:0",  # what is left of it answers whether the scheduler lives
        "scheduler_kwargs": {"dashboard": False},
        "env": settings.environment() | {"CLARITY_CORES": share, "OPENCV_FOR_THREADS_NUM": share},
    }
