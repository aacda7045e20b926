"""What people and nights ask of PostgreSQL when years of nights are in it, on the server of the local stack.

Every call is a transaction of its own over TCP, as in production, and asks for something else than the one before.
"""

import itertools
import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from sqlalchemy import Engine, func, select, text
from sqlalchemy.orm import Session

from clarity.bench import waiting, years
from clarity.bench.rows import Row
from clarity.bench.years import BY, Size
from clarity.storage import database, history, leases, nights, quarantine, results, runs, scans, tables, worklist

_CALLS, _UNTIMED = 300, 20
_TARGET_MS = 50.0
_CHUNK = 64
_NIGHT = "bench"
_STORED = (tables.Scan, tables.Prediction, tables.Outcome, tables.InboxObject, tables.Patient, tables.Review)

Call = Callable[[Session], object]


def rows(captures: int, calls: int = _CALLS) -> list[Row]:
    """``database.worklist_ms``, ``.history_ms``, ``.claim_ms``, ``.report_ms`` (95th percentile of ``calls`` each, the
    slowest kind where there are several), ``.bytes_a_capture``, and what ``waiting.rows`` says.

    Raises StackError, StorageError.
    """
    size = Size(captures)
    with years.filled(size) as (engine, seconds):
        bench = _Bench(engine, size, calls)
        found = [
            bench.row("worklist", bench.pages()),
            bench.row("history", {"patient": bench.patients()}),
            bench.row("claim", {"chunk": bench.chunks()}),
            bench.row("report", bench.reads()),
        ]
        return [*found, _stored(engine, size, seconds), *waiting.rows(engine, size, _NIGHT)]


class _Bench:
    """The questions, drawn by chance from a fixed seed."""

    def __init__(self, engine: Engine, size: Size, calls: int) -> None:
        self._engine, self._size, self._calls = engine, size, calls
        self._chance = random.Random(7)  # noqa: S311
        with database.session(engine) as session:
            runs.start(session, _NIGHT, BY)
            known = session.scalars(select(tables.ScreeningRun.id).order_by(tables.ScreeningRun.started_at))
            self._nights = list(known)[-32:-2]
            patients = tables.Patient.id.in_([self._chance.randint(1, size.patients) for _ in range(2 * calls)])
            self._patients = list(session.scalars(select(tables.Patient.external_id).where(patients)))

    def pages(self) -> dict[str, Iterator[Call]]:
        """The first page, the pages behind it one after the other, and pages from anywhere."""
        cursors = self._cursors()
        deep = cursors[len(cursors) * 9 // 10 :]
        return {
            "first": itertools.repeat(lambda session: worklist.page(session)),
            "next": (_page(cursor) for cursor in itertools.cycle(cursors)),
            "deep": (_page(self._chance.choice(deep)) for _ in itertools.count()),
        }

    def _cursors(self) -> list[worklist.Cursor | None]:
        found: list[worklist.Cursor | None] = [None]  # of few rows there is no page but the first
        with database.session(self._engine) as session:
            cursor = worklist.page(session).following
            while cursor is not None and len(found) < 1000:
                found.append(cursor)
                cursor = worklist.page(session, cursor).following
        return found

    def patients(self) -> Iterator[Call]:
        def ask(name: str) -> Call:
            return lambda session: history.of(session, name)

        return (ask(name) for name in itertools.cycle(self._patients))

    def chunks(self) -> Iterator[Call]:
        """What a night asks before a chunk: the next page of visits, what of them is not scored, and the leases."""
        with database.session(self._engine) as session:
            visits = scans.waiting_visits(session, limit=self._size.waiting)
        for number in itertools.count():
            yield _claim(self._chance.choice(visits[: len(visits) // 2]), f"{_NIGHT}:{number}")

    def reads(self) -> dict[str, Iterator[Call]]:
        """What a night's report asks of the night, each by itself, and of the thirty nights before."""
        of_run: dict[str, Callable[[Session, str], object]] = {
            "tally": results.tally_of_run,
            "grades": nights.graded,
            "outcomes": nights.joined,
            "ungradable": nights.ungradable,
            "ungradable_reasons": nights.ungradable_reasons,
            "review_reasons": nights.review_reasons,
            "quarantine": lambda session, run: nights.refusals(session, run, years.BEGAN),
            "open": lambda session, _: quarantine.count(session),
            "qualities": nights.qualities,
            "worst": lambda session, run: nights.worst(session, run, 24),
            "thirty": lambda session, _: nights.earlier_grades(session, datetime.now(UTC)),
        }
        return {name: _of_runs(ask, itertools.cycle(self._nights)) for name, ask in of_run.items()}

    def row(self, name: str, kinds: dict[str, Iterator[Call]]) -> Row:
        """The slowest kind's 95th percentile; every kind's, and the median of that one, are in the detail."""
        p95, median = {}, {}
        for kind, asked in kinds.items():
            times = sorted(self._times(asked))
            p95[kind], median[kind] = times[int(0.95 * len(times))], times[len(times) // 2]
        slowest = max(p95, key=p95.__getitem__)
        detail: dict[str, float | str] = {**p95} if len(p95) > 1 else {}
        detail |= {"median": median[slowest], "calls": str(self._calls), "captures": str(self._size.captures)}
        return Row(f"database.{name}_ms", p95[slowest], "ms", _TARGET_MS, more_is_better=False, detail=detail)

    def _times(self, asked: Iterator[Call]) -> Iterator[float]:
        for number, call in enumerate(itertools.islice(asked, _UNTIMED + self._calls)):
            began = time.perf_counter()
            with database.session(self._engine) as session:
                call(session)
            if number >= _UNTIMED:
                yield 1000 * (time.perf_counter() - began)


def _page(cursor: worklist.Cursor | None) -> Call:
    return lambda session: worklist.page(session, cursor)


def _of_runs(ask: Callable[[Session, str], object], asked: Iterator[str]) -> Iterator[Call]:
    for run in asked:
        yield lambda session, run=run: ask(session, run)  # type: ignore[misc]


def _claim(after: scans.Visit, chunk: str) -> Call:
    def claim(session: Session) -> None:
        visits = scans.waiting_visits(session, after=after)
        shas = list(itertools.chain.from_iterable(scans.unscored(session, visits, BY)))[:_CHUNK]
        leases.claim(session, shas, BY, chunk=chunk, run_id=_NIGHT, seconds=0)  # ended at once: the next may have it

    return claim


def _stored(engine: Engine, size: Size, seconds: float) -> Row:
    """Bytes in the database for each capture, by table with its indexes."""
    sized = text("SELECT pg_table_size(:name ::regclass), pg_indexes_size(:name ::regclass)")
    detail: dict[str, float | str] = {"fill_s": seconds}
    total = 0
    with database.session(engine) as session:
        for table in _STORED:
            name = str(table.__tablename__)
            count = max(1, session.scalar(select(func.count()).select_from(table)) or 0)
            heap, index = session.execute(sized, {"name": name}).one()
            detail[name] = (heap + index) / count  # bytes a row
            total += heap + index
    return Row("database.bytes_a_capture", total / size.captures, "B", None, more_is_better=False, detail=detail)
