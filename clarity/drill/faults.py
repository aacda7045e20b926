"""The faults: each breaks one night in one way, and leaves it to be run again."""

import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import uuid4

from sqlalchemy import func, select, text

from clarity import stack
from clarity.drill import nights
from clarity.drill.place import Place
from clarity.drill.proxy import Mode
from clarity.storage import database
from clarity.storage.tables import Prediction, ScreeningRun

_AWAY_S = 4.0


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done to a night. ``strike`` returns what was wrong while it was done; what follows is judged apart."""

    name: str
    strike: Callable[[Place], list[str]]


def all_of(passed: list[str], *, kills: int, every: int, seed: int) -> Iterator[Fault]:
    """Every fault: kills at each ``every``-th of the boundaries that a night passes, ``kills`` at random moments, …"""
    for number in range(1, len(passed) + 1, every):
        yield Fault(f"killed {passed[number - 1]} ({number})", lambda place, n=number: _killed_at(place, n))  # type: ignore[misc]
    dice = random.Random(seed)  # noqa: S311  moments, not secrets
    for number in range(kills):
        share = dice.random()
        yield Fault(f"killed at a random moment ({number + 1})", lambda place, s=share: _killed_after(place, s))  # type: ignore[misc]
    # By name: how many commits come before it is another number where a step was tried again.
    before, middle = "before score_batch", "after score_batch"
    yield Fault("PostgreSQL stopped and started", lambda place: _part_away(place, "postgres", middle))
    yield Fault("S3 stopped and started", lambda place: _part_away(place, "s3", middle))
    for mode, said in (("slow", "slow"), ("error", "answering 500"), ("shut", "shutting its door")):
        yield Fault(f"S3 {said}", lambda place, m=mode: _store(place, m, middle))  # type: ignore[misc]
    yield Fault("disk of the S3 full", lambda place: _store(place, "full", middle))
    yield Fault("disk of PostgreSQL full", lambda place: _postgres_full(place, middle))
    yield Fault("two schedules at once", _twice)
    yield Fault("a worker stalls past its lease and comes back", lambda place: _stalled(place, before))
    yield Fault("champion promoted in the middle", lambda place: _promoted(place, middle))


def _killed_at(place: Place, boundary: int) -> list[str]:
    code = nights.run(place, "--die", str(boundary))
    return [] if code in (-signal.SIGKILL, 0) else [f"exit code {code}, not killed"]


def _killed_after(place: Place, share: float) -> list[str]:
    """At a moment between the opening of the run and its end, wherever that is."""
    before = _runs(place)
    night = nights.start(place)
    while night.poll() is None and _runs(place) == before:
        time.sleep(0.02)
    time.sleep(2.0 * share)
    night.kill()
    night.wait()
    return []


def _part_away(place: Place, part: str, boundary: str) -> list[str]:
    night, go = nights.hold(place, boundary)
    stack.down(place.breakable, parts=(part,))
    go.touch()
    time.sleep(_AWAY_S)
    stack.up(place.breakable, parts=(part,))
    nights.finish(night)
    return []


def _store(place: Place, mode: Mode, boundary: str) -> list[str]:
    night, go = nights.hold(place, boundary)
    place.proxy.mode = mode
    go.touch()
    time.sleep(_AWAY_S)
    place.proxy.mode = "open"
    nights.finish(night)
    return []


def _postgres_full(place: Place, boundary: str) -> list[str]:
    """The server's own error code for a full disk, raised at each new prediction until there is room again."""
    night, go = nights.hold(place, boundary)
    with database.connection(place.engine) as link:
        link.execute(text(_FULL))
        link.execute(text("CREATE TRIGGER full_disk BEFORE INSERT ON predictions EXECUTE FUNCTION full_disk()"))
    go.touch()
    time.sleep(_AWAY_S)
    with database.connection(place.engine) as link:
        link.execute(text("DROP TRIGGER full_disk ON predictions"))
        link.execute(text("DROP FUNCTION full_disk()"))
    nights.finish(night)
    return []


_FULL = """
CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$
"""


def _twice(place: Place) -> list[str]:
    codes = sorted(nights.finish(night) for night in [nights.start(place), nights.start(place)])
    return [] if 0 in codes else [f"two nights at once ended with {codes}: neither did the work"]


def _stalled(place: Place, boundary: str) -> list[str]:
    """A worker stalls after its claim until the lease is over; another finishes its chunk; then it goes on."""
    nights.run(place, "--die", boundary)
    go = place.folder / f"go-{uuid4().hex[:8]}"
    said = (go.with_suffix(".first"), go.with_suffix(".second"))
    worker = ("clarity.drill.worker", str(place.configuration))
    first = place.nursery.start(*worker, "first", str(go), log=said[0])
    while first.poll() is None and not go.with_suffix(".held").exists():
        time.sleep(0.05)
    time.sleep(2.5)  # the worker's lease is two seconds
    second = nights.finish(place.nursery.start(*worker, "second", log=said[1]))
    go.touch()
    codes = (nights.finish(first), second)
    woken, other = (file.read_text(encoding="utf-8").strip() for file in said)
    if any(codes):
        return [f"workers ended with {codes[0]} and {codes[1]}: {other[-300:]}"]
    if "scored 0 lost 0" in other or "scored 0" not in woken or "lost 0" in woken:
        return [f"the second worker {other}, the first, when it woke, {woken}"]
    return []


def _promoted(place: Place, boundary: str) -> list[str]:
    before = _latest_version(place)
    night, go = nights.hold(place, boundary)
    ref = place.promote_again()
    go.touch()
    code = nights.finish(night)
    with database.session(place.engine) as session:
        run = session.scalars(select(ScreeningRun).order_by(ScreeningRun.started_at.desc()).limit(1)).one()
        versions = set(session.scalars(select(Prediction.model_version).where(Prediction.run_id == run.id)))
    wrong = [] if code == 0 else [f"exit code {code}"]
    if versions - {run.model_version} or run.model_version != before:
        wrong.append(f"a night of version {run.model_version} wrote {sorted(versions)} while {ref.version} came")
    return wrong


def _latest_version(place: Place) -> str:
    with database.session(place.engine) as session:
        return session.scalars(
            select(ScreeningRun.model_version).order_by(ScreeningRun.started_at.desc()).limit(1)
        ).one()


def _runs(place: Place) -> int:
    with database.session(place.engine) as session:
        return session.scalar(select(func.count()).select_from(ScreeningRun)) or 0
