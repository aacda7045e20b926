"""An ingest: check the photographs of a source, then make them a version of the data set, or change nothing.

How each is done is ``clarity.data.ingest``; delete this file and that remains.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from prefect import State, flow, get_run_logger, task
from prefect.artifacts import create_image_artifact, create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from clarity import params as parameters
from clarity.data import ingest as ingesting
from clarity.data import sources, versions
from clarity.data.collect import Collected
from clarity.data.ingest import IngestResult
from clarity.data.workspace import Workspace
from clarity.errors import StorageUnavailable
from clarity.params import Params
from clarity.settings import Settings
from clarity.storage.objects import Objects
from flows import logs

_DELAYS_S = [2.0, 5.0, 15.0]
"""Between attempts to commit: a restart of the object store takes seconds."""
_PLAIN_EVERY_S = 10.0
_WEEK_S = 7 * 24 * 3600
logs.plain()


@flow(name="ingest")
def ingest(
    source: str | None,
    path: str,
    dry_run: bool = False,
    columns: dict[str, str] | None = None,
    workspace: str | None = None,
    name: str | None = None,
) -> dict[str, Any]:
    """Take the photographs of ``path`` into the data set; the same source twice changes nothing.

    ``source``: an adapter's name, or None where the layout says it. ``columns``: the table's own names, for the source
    "folder", which they imply. ``workspace``: the folder of dvc.yaml, the project's by default. ``name``: of a plain
    folder, where there are several.

    Returns the fields of IngestResult. Raises SourceError, ManifestError, TooManyBad, StorageError, WorkspaceError,
    AlreadyRunning; then the version stays.
    """
    settings = Settings.load()
    place = str(Path(workspace).resolve() if workspace else settings.project)
    layout = source or (sources.folder.NAME if columns else sources.detect(path, settings=settings))
    if not dry_run:
        _step(reachable, "reach the store", retries=True)()
    collected = _step(check, "check photographs")(place, layout, path, columns, dry_run, name or "")
    result: IngestResult = _step(commit, "make a version", retries=True)(place, collected, dry_run)
    if result.changed and result.report:
        _show(result, settings)
    return asdict(result)


# steps: library calls on references; each builds what it needs


def reachable() -> None:
    """The bucket is there or can be made: said before an hour of decoding, not after it."""
    Objects(Settings.load()).ensure_bucket()


def check(
    workspace: str, source: str, path: str, columns: dict[str, str] | None, dry_run: bool, called: str
) -> Collected:
    """Every photograph read, hashed, decoded and staged."""
    place, params = _open(workspace)
    with _progress(f"checking {source}") as report:
        return ingesting.check(
            place, source, path, params, options=columns, called=called, dry_run=dry_run, on_progress=report
        )


def commit(workspace: str, collected: Collected, dry_run: bool) -> IngestResult:
    """Merge, ``dvc add``, ``dvc push``, journal; whatever fails, the previous version stands."""
    place, params = _open(workspace)
    logger = get_run_logger()
    objects = Objects(place.settings)
    say = partial(logger.info, "%s")
    return ingesting.commit(place, collected, params, objects, dry_run=dry_run, on_line=say)


def _open(workspace: str) -> tuple[Workspace, Params]:
    place = Workspace(Path(workspace), Settings.load())
    place.init()
    return place, parameters.load(place.path / "conf" / "pipeline.yaml")


# retries, what a person sees


def _step(function: Any, name: str, *, retries: bool = False) -> Any:
    """Never cached by Prefect: what is fresh is the content's to say."""
    options: dict[str, Any] = {"name": name, "cache_policy": NO_CACHE, "persist_result": False}
    if retries:
        options |= {"retries": len(_DELAYS_S), "retry_delay_seconds": _DELAYS_S, "retry_condition_fn": _may_pass}
    return task(function, **options)


def _may_pass(_task: object, _run: object, state: State[Any]) -> bool:
    return isinstance(state.data, StorageUnavailable)


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for a person at a terminal, else a line in the log now and then."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain(what)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(bar, completed=done, total=total)


def _plain(what: str) -> Callable[[int, int], None]:
    logger, said = get_run_logger(), time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal said
        if done == total or time.monotonic() - said > _PLAIN_EVERY_S:
            said = time.monotonic()
            logger.info("%s: %d of %d", what, done, total)

    return report


def _show(result: IngestResult, settings: Settings) -> None:
    """The one-page summary and the contact sheet, where people look."""
    folder = Path(result.report)
    page = (folder / "summary.md").read_text(encoding="utf-8")
    said = f"Data set {result.version[:12]}: {result.added} photographs added, {result.total} in all"
    create_markdown_artifact(page + f"\nOn disk: `{folder}`\n", key="data-set", description=said)
    url = versions.picture(Objects(settings), result.version, seconds=_WEEK_S)
    create_image_artifact(image_url=url, key="contact-sheet", description=f"{said}. The link expires in a week.")
    get_run_logger().info("%s", said)
