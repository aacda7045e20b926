"""Many callers: what the service gives of the machine, and what becomes of it when twice as much is asked."""

import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from clarity.bench.online import alone
from clarity.bench.online.calling import Called, calling
from clarity.bench.online.load import Order
from clarity.bench.online.place import Place
from clarity.bench.online.plan import Plan
from clarity.bench.online.server import Server
from clarity.bench.rows import Row
from clarity.inference.processor import cores

THROUGHPUT, TAIL, GROWTH = 0.70, 3.0, 1.05
_CONNECTIONS = 160
"""Enough that a refused or a waiting caller never keeps the next from coming."""
_ALLOWED = {200, 429, 503}


def throughput(place: Place, server: Server, plan: Plan) -> Row:
    """``serving.throughput``: images a second of ``callers`` at once, over those of the library's fastest way alone.

    The library is measured before and after, so that a machine that slows down slows both.
    """
    bundle = place.versions[0][1]
    before = alone.fastest(bundle, place.photographs, plan.alone_s)
    order = _order(place, server, callers=plan.callers, seconds=plan.load_s)
    used = server.cpu_s()
    with calling(order) as client:
        called = client.called()
    used = server.cpu_s() - used
    after = alone.fastest(bundle, place.photographs, plan.alone_s)
    ways = {name: statistics.fmean((before[name], after[name])) for name in before}
    best = max(ways, key=ways.__getitem__)
    rate = len(called.accepted) / called.seconds
    detail = {"images_a_second": rate, "alone": ways[best], "alone_by": best, **called.detail()}
    detail |= {"server_cpu": used / called.seconds / cores(), "callers": str(plan.callers)}
    return Row("serving.throughput", rate / ways[best], "share", THROUGHPUT, detail=detail)


def overload(place: Place, server: Server, capacity: float, plan: Plan) -> list[Row]:
    """``serving.overload`` (p99 over p50 of what was accepted), ``.failed`` (neither answered nor refused by 429 or
    503) and ``.memory`` (last third over first): requests come at twice the capacity, whatever becomes of them.
    """
    order = _order(place, server, callers=_CONNECTIONS, seconds=plan.overload_s, rate=2 * capacity)
    with _watched(server) as held, calling(order) as client:
        called = client.called()
    return overload_rows(called, held, capacity, plan.overload_s)


def overload_rows(called: Called, held: Sequence[float], capacity: float, seconds: float) -> list[Row]:
    """``held``: megabytes, each second."""
    third = max(1, len(held) // 3)
    first, last = statistics.fmean(held[:third]), statistics.fmean(held[-third:])
    failed = sum(count for status, count in called.statuses.items() if status not in _ALLOWED)
    said = called.detail()
    tail = float(said["p99_ms"]) / float(said["p50_ms"])
    detail = {**said, "asked_a_second": len(called.calls) / seconds, "capacity": capacity}
    memory: dict[str, float | str] = {"first_mb": first, "last_mb": last, "peak_mb": max(held)}
    return [
        Row("serving.overload", tail, "x", TAIL, more_is_better=False, detail=detail),
        Row("serving.overload.failed", float(failed), "answers", 0.0, more_is_better=False, detail=_refused(called)),
        Row("serving.overload.memory", last / first, "x", GROWTH, more_is_better=False, detail=memory),
    ]


def _order(place: Place, server: Server, *, callers: int, seconds: float, rate: float | None = None) -> Order:
    requests = tuple(str(file) for file in place.requests(server.address))
    return Order(*server.address, requests, callers=callers, seconds=seconds, rate=rate)


def _refused(called: Called) -> dict[str, float | str]:
    times = sorted(1000 * call.seconds for call in called.calls if call.status in (429, 503))
    return {"requests": str(len(called.calls)), "refused_p50_ms": times[len(times) // 2] if times else 0.0}


@contextmanager
def _watched(server: Server) -> Iterator[list[float]]:
    """What the server's processes hold, each second."""
    held, over = [server.resident_mb()], threading.Event()

    def watch() -> None:
        while not over.wait(1.0):
            held.append(server.resident_mb())

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.monotonic()
    try:
        yield held
    finally:
        over.set()
        watcher.join()
        del held[: min(5, len(held) - 1) if time.monotonic() - began > 30 else 0]  # its first seconds fill buffers
