"""Photographs of a source become a new version of the data set, or nothing changes.

collect (check and stage, resumable) → merge with the present version → lay out beside it → swap → ``dvc add`` →
``dvc push`` → journal. Whatever fails after the swap puts the previous version back.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from clarity.data import dataset, place, publish, replacement, sources, versions
from clarity.data.collect import Collected, Progress, collect, seen, silent
from clarity.data.likeness import near_pairs
from clarity.data.manifest import REASON
from clarity.data.merge import DataSet, merge
from clarity.data.workspace import DATA, PATIENCE_S, Workspace
from clarity.errors import TooManyBad
from clarity.params import Params
from clarity.storage.objects import Objects


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What an ingest did. Plain values, fit for a task's result."""

    version: str
    """The data set's version now; empty after a dry run that found something new."""
    source: str
    changed: bool
    seen: int
    """Rows of the source."""
    added: int
    """Photographs that the data set did not have."""
    total: int
    duplicates: int
    """Rows of this source that repeat another photograph."""
    quarantined: int
    """Rows of this source that cannot be used."""
    near_duplicates: int
    """Pairs over different patients, in the whole data set."""
    unused: int
    """Images of the source that no row uses; not among the rows, and not bad."""
    unused_first: tuple[str, ...]
    """The first few of their names."""
    report: str
    """Folder with summary.md, contact.png, quarantine.csv, near_duplicates.csv; empty after a dry run."""


def check(
    workspace: Workspace,
    name: str,
    path: str | Path,
    params: Params,
    *,
    options: Mapping[str, str] | None = None,
    called: str = "",
    dry_run: bool = False,
    on_progress: Progress = silent,
) -> Collected:
    """Check and stage every photograph of a source; the data set is only read.

    Raises SourceError, ManifestError, StorageError, AlreadyRunning; WorkspaceError where data/ is not the version that
    data.dvc names.
    """
    with workspace.lock(wait_s=PATIENCE_S):
        present = _present(workspace, Objects(workspace.settings))
        known = frozenset(present.manifest["sha256"])
        folder = workspace.path / replacement.STAGING / ("dry-run" if dry_run else name)
        listing = sources.read(name, path, settings=workspace.settings, options=options, called=called)
        return collect(
            listing,
            folder,
            params.imaging,
            known=known,
            jobs=params.ingest.jobs,
            copy=not dry_run,
            on_progress=on_progress,
        )


def commit(
    workspace: Workspace,
    collected: Collected,
    params: Params,
    objects: Objects,
    *,
    dry_run: bool = False,
    on_line: Callable[[str], None] = lambda _line: None,
) -> IngestResult:
    """Merge what was collected into the data set and make it a version.

    Raises TooManyBad, WorkspaceError, StorageError, SourceError, AlreadyRunning; then the previous version stands.
    """
    with workspace.lock(wait_s=PATIENCE_S):
        old = _present(workspace, objects)
        rows = _completed(seen(collected), old)
        place.refuse_another(old, rows)
        new = merge(old, rows, params.ingest)
        _refuse_bad(rows, new, params, Path(collected.staging))
        pairs = near_pairs(new.manifest, params.ingest)
        result = _result(collected, rows, old, new, len(pairs))
        if not dry_run and not dataset.same(old, new):
            report = publish.publish(workspace, new, pairs, params, objects, collected, on_line)
            result = replace(result, version=report.name, report=str(report))
        elif not result.changed:
            # may be another $CLARITY_HOME than before
            report = publish.report(workspace, new, pairs, params, collected)
            result = replace(result, version=report.name, report=str(report))
        replacement.remove(Path(collected.staging))
        return result


def ingest(
    workspace: Workspace,
    name: str,
    path: str | Path,
    params: Params,
    objects: Objects,
    *,
    options: Mapping[str, str] | None = None,
    called: str = "",
    dry_run: bool = False,
    on_progress: Progress = silent,
    on_line: Callable[[str], None] = lambda _line: None,
) -> IngestResult:
    """Both halves, one after the other. ``name``, ``options``, ``called``: see ``clarity.data.sources.read``."""
    if not dry_run:
        objects.ensure_bucket()  # an unreachable store is said before an hour of decoding, not after it
    collected = check(
        workspace, name, path, params, options=options, called=called, dry_run=dry_run, on_progress=on_progress
    )
    return commit(workspace, collected, params, objects, dry_run=dry_run, on_line=on_line)


def _present(workspace: Workspace, objects: Objects) -> DataSet:
    """What an ingest builds on: the version that data.dvc names, or nothing where there is none yet."""
    replacement.recover(workspace)
    versions.refuse_another(workspace, objects)
    return dataset.load(workspace.path / DATA)


def _completed(rows: pd.DataFrame, old: DataSet) -> pd.DataFrame:
    """Photographs that the data set has were not looked at again: their figures come from its manifest."""
    measured = ["phash", "detail", "width", "height", "bytes", "suffix"]
    blank = rows["sha256"].isin(old.manifest["sha256"]) & (rows[REASON] == "")
    have = old.manifest.set_index("sha256")[measured]
    rows = rows.copy()
    for column in measured:
        rows.loc[blank, column] = rows.loc[blank, "sha256"].map(have[column])
    return rows


def _refuse_bad(rows: pd.DataFrame, new: DataSet, params: Params, staging: Path) -> None:
    bad = _quarantined(rows, new)
    share = len(bad) / len(rows)
    if share > params.ingest.max_bad_share:
        report = staging / "quarantine.csv"
        bad.to_csv(report, index=False)
        first = "; ".join(f"{name}: {reason}" for name, reason in zip(bad["name"][:3], bad[REASON][:3], strict=True))
        raise TooManyBad(
            f"{len(bad)} of {len(rows)} rows are bad, more than the {params.ingest.max_bad_share:.0%} admitted; "
            f"the data set is unchanged ({first}; all in {report})"
        )


def _quarantined(rows: pd.DataFrame, new: DataSet) -> pd.DataFrame:
    mine = set(rows["source"] + "\n" + rows["name"])
    return new.quarantine[(new.quarantine["source"] + "\n" + new.quarantine["name"]).isin(mine)]


def _result(collected: Collected, rows: pd.DataFrame, old: DataSet, new: DataSet, pairs: int) -> IngestResult:
    mine = set(rows["source"] + "\n" + rows["name"])
    repeats = (new.duplicates["source"] + "\n" + new.duplicates["name"]).isin(mine)
    return IngestResult(
        version="",
        source=collected.source,
        changed=not dataset.same(old, new),
        seen=len(rows),
        added=len(set(new.manifest["sha256"]) - set(old.manifest["sha256"])),
        total=len(new.manifest),
        duplicates=int(repeats.sum()),
        quarantined=len(_quarantined(rows, new)),
        near_duplicates=pairs,
        unused=collected.unused,
        unused_first=collected.unused_first,
        report="",
    )
