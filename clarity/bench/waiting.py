"""What waits for a night: read page by page in flat memory, written in bulk."""

import gc
import itertools
import time
import tracemalloc
from collections.abc import Iterator

from sqlalchemy import Engine

from clarity import grades
from clarity.bench.rows import Row
from clarity.bench.years import BY, Size
from clarity.records import Prediction
from clarity.storage import database, keys, results, scans
from clarity.storage.results import Finding

_CHUNK = 64
_MOST_GROWTH = 1.1


def rows(engine: Engine, size: Size, run_id: str) -> list[Row]:
    """``database.paging`` (memory for all that waits over that for a tenth of it) and ``database.written`` (rows/s).

    The second leaves nothing waiting.
    """
    return [_paging(engine, size), _written(engine, run_id)]


def _paging(engine: Engine, size: Size) -> Row:
    """The most that reading holds at once, over a tenth of the waiting visits and over all of them."""
    few = max(1, size.waiting // 10)
    page = max(1, few // 5)  # five pages at least
    _peak(engine, page, few)  # imports, pools and compiled statements are made once
    tenth, whole = _peak(engine, page, few), _peak(engine, page, size.waiting)
    detail = {"tenth_kb": tenth / 1e3, "all_kb": whole / 1e3, "captures": float(4 * size.waiting), "page": float(page)}
    return Row("database.paging", whole / tenth, "x", _MOST_GROWTH, more_is_better=False, detail=detail)


def _peak(engine: Engine, page: int, visits: int) -> int:
    gc.freeze()  # what was there before is not looked at for each page again; for good, as it may have been before
    tracemalloc.start()
    try:
        for _ in itertools.islice(_pages(engine, page), -(-visits // page)):
            gc.collect()  # what is kept counts, not when the collector happens to come by
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _pages(engine: Engine, page: int) -> Iterator[list[list[str]]]:
    after = None
    while True:
        with database.session(engine) as session:
            visits = scans.waiting_visits(session, after=after, limit=page)
            found = scans.unscored(session, visits, BY) if visits else []
        if not visits:
            return
        after = visits[-1]
        yield found


def _written(engine: Engine, run_id: str) -> Row:
    """Predictions a second with the states of their scans, a transaction a chunk, by one connection."""
    shas = [sha for visits in _pages(engine, 500) for visit in visits for sha in visit]
    chunks = [shas[i : i + _CHUNK] for i in range(0, len(shas), _CHUNK)]
    began = time.perf_counter()
    for chunk in chunks:
        with database.session(engine) as session:
            results.save(session, [_finding(sha) for sha in chunk], BY, run_id)
    seconds = time.perf_counter() - began
    detail = {"rows": float(len(shas)), "chunk_ms": 1000 * seconds / len(chunks), "chunk": float(_CHUNK)}
    return Row("database.written", len(shas) / seconds, "1/s", None, detail=detail)


def _finding(sha: str) -> Finding:
    said = Prediction(
        grade=2,
        name=grades.name(2),
        probabilities=(0.1, 0.2, 0.4, 0.2, 0.1),
        confidence=0.4,
        referable=True,
        referable_probability=0.7,
        vision_threatening=False,
        vision_threatening_probability=0.3,
        model_version=BY.version,
        fingerprint=BY.fingerprint,
    )
    return Finding(sha, "scored", (), 0.8, said, keys.heatmap_key(BY.model, BY.version, sha))
