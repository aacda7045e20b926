"""``python -m clarity.stages prepare|split|train|evaluate``: the one door for DVC, with the workspace as the folder.

Settings and parameters are built here and nowhere below. A named error is one line on standard error and exit code 1.
"""

# ruff: noqa: ARG001 — the stages share one signature

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from clarity.errors import ClarityError, WorkspaceError
from clarity.params import Params, load
from clarity.settings import Settings

if TYPE_CHECKING:
    from clarity.training.paths import Paths

log = logging.getLogger("clarity.stages")
CONFIGURATION = Path("conf/pipeline.yaml")
_PLAIN_EVERY_S = 10.0


def prepare(params: Params, root: Path, settings: Settings) -> None:
    """Photographs of data/ through the imaging chain into artifacts/prepared/."""
    from clarity.data import prepared

    with _progress("preparing photographs") as report:
        prepared.prepare_all(root, params, on_progress=report)


def split(params: Params, root: Path, settings: Settings) -> None:
    """Who trains, validates and tests, by patient, into artifacts/split.csv."""
    from clarity.data import split as splitting

    splitting.split_all(root, params.split, params.ingest)


def train(params: Params, root: Path, settings: Settings) -> None:
    """Train, or go on with a training that was killed; write artifacts/training/ and artifacts/run.json."""
    from clarity.training import fit, identity
    from clarity.training.paths import Paths
    from clarity.training.tracking import MlflowRun, closing, describe

    paths = Paths(root)
    key = fit.resume_key(data=identity.data_hash(paths), code=identity.code_hash(), params=params)
    run = MlflowRun.of(settings.need("mlflow_tracking_uri"), paths.resume / key / "run_id", params.model.backbone)
    with closing(run):
        describe(run, params, identity.origin(root), key)
        result = fit.fit(params, paths, run, key=key, fetch=_fetch(settings))
        run.artifact(paths.training, "training")
    paths.run.write_text(json.dumps({"run_id": result.run_id}) + "\n", encoding="utf-8")
    fit.forget(paths)


def evaluate(params: Params, root: Path, settings: Settings) -> None:
    """Judge the trained network on the test split; write artifacts/evaluation/ and artifacts/bundle/."""
    from clarity.training.paths import Paths

    paths = Paths(root)
    run_id = _run_id(paths)  # before seconds of imports
    from clarity.training import evaluate as evaluating
    from clarity.training import identity
    from clarity.training.tracking import MlflowRun, closing

    run = MlflowRun.resume(settings.need("mlflow_tracking_uri"), run_id)
    with closing(run):
        result = evaluating.evaluate(params, paths, run, identity.origin(root))
    kappa = result.test.intervals["qwk"]
    log.info("test split: QWK %.3f (%.3f to %.3f), %d photographs", kappa.value, kappa.low, kappa.high, kappa.n)


STAGES: dict[str, Callable[[Params, Path, Settings], None]] = {
    "prepare": prepare,
    "split": split,
    "train": train,
    "evaluate": evaluate,
}


def main(arguments: list[str]) -> int:
    """Run one stage in the current folder; the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    if len(arguments) != 1 or arguments[0] not in STAGES:
        sys.stderr.write(f"usage: python -m clarity.stages {'|'.join(STAGES)}\n")
        return 2
    try:
        settings = Settings.load()
        _refuse_unfinished(Path.cwd(), settings)
        STAGES[arguments[0]](load(CONFIGURATION), Path.cwd(), settings)
    except ClarityError as error:
        sys.stderr.write(f"{arguments[0]}: {error}\n")
        return 1
    return 0


def _refuse_unfinished(root: Path, settings: Settings) -> None:
    """The training flow undoes an ingest that was cut off; `dvc repro` by hand comes here without it."""
    from clarity.data import replacement
    from clarity.data.workspace import Workspace

    replacement.refuse_unfinished(Workspace(root, settings))


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, otherwise a line every ten seconds and one at the end."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    console, said = Console(stderr=True), time.monotonic()
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)

        def report(done: int, total: int) -> None:
            nonlocal said
            bar.update(task, completed=done, total=total)
            if not console.is_terminal and (done == total or time.monotonic() - said > _PLAIN_EVERY_S):
                said = time.monotonic()
                log.info("%s: %d of %d", what, done, total)

        yield report


def _run_id(paths: "Paths") -> str:
    try:
        return str(json.loads(paths.run.read_text(encoding="utf-8"))["run_id"])
    except (OSError, ValueError, KeyError):
        raise WorkspaceError(f"{paths.run}: missing or malformed, run the stage train") from None


def _fetch(settings: Settings) -> Callable[[str], Path] | None:
    """Bundles of the registry as starting weights; None without a registry."""
    if settings.mlflow_tracking_uri is None:
        return None
    from clarity.registry.models import Registry
    from clarity.training.starting import from_registry

    registry = Registry(settings.mlflow_tracking_uri)
    return lambda uri: from_registry(registry, uri, settings.home / "cache" / "bundles")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
