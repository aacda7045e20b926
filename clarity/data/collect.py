"""The first half of an ingest: every photograph of a source checked and staged, nothing of the data set touched.

What was found out is written down row by row, so that an ingest that was interrupted goes on where it stopped.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from clarity.data import agreement, manifest, pool
from clarity.data.check import Checked, Checker
from clarity.data.manifest import COLUMNS, REASON
from clarity.data.sources.row import Listing, SourceRow
from clarity.errors import SourceError
from clarity.params import ImagingParams

Progress = Callable[[int, int], None]
"""Called with (done, total) photographs."""
SEEN = "seen.csv"
_NAMED = 3


def silent(_done: int, _total: int) -> None:
    """No progress."""


@dataclass(frozen=True, slots=True)
class Collected:
    """A source, checked. Small enough to be handed from task to task."""

    source: str
    staging: str
    """Folder with seen.csv and photographs/."""
    total: int
    bad: int
    resumed: int
    """Rows that an earlier, interrupted run had already checked."""
    unused: int
    """Images of the source that no row uses."""
    unused_first: tuple[str, ...]
    """The first few of their names."""


def collect(
    listing: Listing,
    staging: Path,
    imaging: ImagingParams,
    *,
    known: frozenset[str] = frozenset(),
    jobs: int = 0,
    copy: bool = True,
    on_progress: Progress = silent,
) -> Collected:
    """Read, hash and decode every row in ``jobs`` processes; copy good photographs below ``staging``.

    ``known``: hashes of the data set, whose photographs are neither decoded nor copied again. ``copy`` False is a dry
    run. Rows that repeat each other count once; where they contradict each other, all are bad, each naming the others.
    Raises SourceError (no rows, the disk is full, the store went away) and what the adapter raises.
    """
    listed = agreement.once(listing.rows)
    if not listed:
        raise SourceError("source: no rows, nothing to ingest")
    staging.mkdir(parents=True, exist_ok=True)
    journal = _Journal(staging, imaging)
    found: dict[int, Checked] = {}
    for index, row in enumerate(listed):
        if (earlier := journal.earlier(row, known)) is not None:
            found[index] = earlier
    resumed = len(found)
    checker = Checker(staging if copy else None, imaging, known)
    with journal:
        for index, checked in _check(listed, found, checker, jobs):
            if checked.fatal:
                raise SourceError(f"{listed[index].name}: {checked.fatal}; run the same ingest again to go on")
            found[index] = checked
            journal.write(listed[index], checked)
            on_progress(len(found), len(listed))
    on_progress(len(found), len(listed))
    seen = _table(listed, found)
    seen.to_csv(staging / SEEN, index=False, lineterminator="\n")
    bad = int((seen[REASON] != "").sum())
    first = tuple(listing.unused[:_NAMED])
    return Collected(listed[0].source, str(staging), len(listed), bad, resumed, len(listing.unused), first)


def seen(collected: Collected) -> pd.DataFrame:
    """The checked rows: COLUMNS and REASON; columns of known photographs are blank but for what the source says."""
    return manifest.read(Path(collected.staging) / SEEN)


def _check(
    rows: list[SourceRow], found: dict[int, Checked], checker: Checker, jobs: int
) -> Iterator[tuple[int, Checked]]:
    todo = [_Numbered(index, row) for index, row in enumerate(rows) if index not in found]
    for item, result in pool.run(_Each(checker), todo, jobs=jobs):
        yield item.index, Checked(problem=result.why) if isinstance(result, pool.Died) else result


@dataclass(frozen=True, slots=True)
class _Numbered:
    index: int
    row: SourceRow


@dataclass(frozen=True)
class _Each:
    checker: Checker

    def __call__(self, item: _Numbered) -> Checked:
        return self.checker(item.row)


class _Journal:
    """checked-….jsonl: a line a checked row, under the limits that it was checked with."""

    def __init__(self, staging: Path, imaging: ImagingParams) -> None:
        limits = hashlib.sha256(f"{imaging.max_bytes} {imaging.max_pixels}".encode()).hexdigest()[:8]
        self._staging = staging
        self._path = staging / f"checked-{limits}.jsonl"
        self._lines: dict[str, Checked] = {}
        if self._path.exists():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                try:
                    said = json.loads(line)
                    key = said.pop("key")
                    self._lines[key] = Checked(**said)
                except (ValueError, KeyError, TypeError):
                    continue  # the line at which the machine was switched off

    def earlier(self, row: SourceRow, known: frozenset[str]) -> Checked | None:
        """What an earlier run found, if the row and its file are the same and its copy is still there."""
        checked = self._lines.get(self._key(row)) if row.stamp else None
        if checked is None or checked.problem:
            return None
        copied = self._staging / manifest.photograph_path(checked.sha256, checked.suffix)
        return checked if checked.sha256 in known or (checked.phash and copied.exists()) else None

    def write(self, row: SourceRow, checked: Checked) -> None:
        if row.stamp:
            self._file.write(json.dumps({"key": self._key(row), **asdict(checked)}) + "\n")
            self._file.flush()

    def __enter__(self) -> "_Journal":
        self._file = self._path.open("a", encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _key(self, row: SourceRow) -> str:
        return f"{row.source} {row.name} {row.stamp} {row.problem}"


def _table(rows: list[SourceRow], found: dict[int, Checked]) -> pd.DataFrame:
    records = []
    for index, row in enumerate(rows):
        said = {name: getattr(row, name) for name in COLUMNS if name in SourceRow.__slots__}
        checked = asdict(found[index])
        records.append(
            said | {name: checked[name] for name in COLUMNS if name in checked} | {REASON: checked["problem"]}
        )
    return manifest.typed(pd.DataFrame(records, columns=[*COLUMNS, REASON]))
