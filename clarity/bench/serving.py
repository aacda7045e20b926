"""The online service on this machine: what HTTP costs, what many callers get, what a promotion and a flood change."""

import sys
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path

from clarity.bench.night import photographs
from clarity.bench.online import bundles, changes, crowd, single
from clarity.bench.online.place import Place, place
from clarity.bench.online.plan import Plan
from clarity.bench.online.server import Server, free_port, serving
from clarity.bench.rows import Row

_NUMBER, _VERSIONS = 16, 3
START_S = 5.0


def rows(images: Path | None, plan: Plan) -> list[Row]:
    """``serving.overhead_ms``, ``.peer``, ``.throughput``, ``.promotions``, ``.overload``, ``.start_s``.

    ResNet-50 at 224 px, JPEGs of a megapixel, ``clarity serve`` beside PostgreSQL, S3 and MLflow of this machine, the
    client in a process of its own on the same cores. Raises StackError, StorageError, InferenceError.
    """
    import torch

    with tempfile.TemporaryDirectory(prefix="clarity-bench-") as scratch:
        made = [bundles.version(Path(scratch), number) for number in range(_VERSIONS)]
        weights = Path(scratch) / "weights.pt"
        torch.save(bundles.usual(made[0][1]), weights)
        with place([bundle for bundle, _ in made], photographs(images, _NUMBER)) as here:
            return _measured(here, weights, plan)


def _measured(here: Place, weights: Path, plan: Plan) -> list[Row]:
    starts = []
    for _ in range(plan.starts):
        with here.serve() as server:
            starts.append(server.started_s)
    with here.serve() as server:
        with peer(weights) as usual:
            found = single.rows(here, server, usual, plan)
        many = crowd.throughput(here, server, plan)
        found += [many, *changes.rows(here, server, plan)]
        found += crowd.overload(here, server, float(many.detail["images_a_second"]), plan)
    return [*found, start(starts)]


def peer(weights: Path) -> AbstractContextManager[Server]:
    """The usual way, ready."""
    port = free_port()
    return serving([sys.executable, "-m", "clarity.bench.peer", str(weights), str(port)], port, {})


def start(seconds: list[float]) -> Row:
    """From the start of the process, with Python's own start and all imports, to its being ready with the champion."""
    first, *others = seconds
    timed = sorted(others or seconds)
    detail: dict[str, float | str] = {"first": first, "slowest": timed[-1], "starts": str(len(timed))}
    return Row("serving.start_s", timed[len(timed) // 2], "s", START_S, more_is_better=False, detail=detail)
