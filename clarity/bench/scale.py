"""A night's chunks on one worker process and on two of the same size: what a second worker brings."""

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from clarity.bench import network as nets
from clarity.bench.night import Night, night, photographs
from clarity.bench.rows import Row
from clarity.errors import InferenceError
from clarity.inference.processor import cores
from clarity.screening.score import Batch, Work
from clarity.storage import database, runs
from clarity.storage.scans import ScoredBy
from flows import runners, screening_steps
from flows.screening_steps import Champion

if TYPE_CHECKING:
    from distributed import Client

_NUMBER, _CHUNK, _MOST, _CALIBRATION = 128, 16, 3, 32
_OVERLAY = 224
_TARGET = 1.5
"""Two workers share the machine with PostgreSQL, the object store and Dask's scheduler."""


def rows(images: Path | None, repeats: int) -> list[Row]:
    """``scale.two_workers``: photographs a second of two worker processes over those of one, each on half the cores.

    JPEG in S3 -> prediction row in PostgreSQL and overlay in S3, chunks of 16 on a Dask cluster of this machine, as
    ``runner: dask`` makes it; ResNet-50 at its fastest form. Both clusters are warm, and take turns.
    """
    torch.set_num_threads(cores())
    with tempfile.TemporaryDirectory(prefix="clarity-bench-") as folder, night(photographs(images, _NUMBER)) as place:
        bundle = nets.draft(nets.resnet(), nets.photographs(_CALIBRATION), Path(folder))
        share = max(1, cores() // 2)
        with _cluster(place, 1, share) as one, _cluster(place, 2, share) as two:
            sides = {
                "one": _Side(place, one, str(bundle.path), "one"),
                "two": _Side(place, two, str(bundle.path), "two"),
            }
            rates: dict[str, list[float]] = {name: [] for name in sides}
            for number in range(1 + min(repeats, _MOST)):
                for name, side in sides.items():
                    rate = side.run()
                    rates[name] += [rate] if number else []  # the first loads the model
        found = {name: statistics.median(values) for name, values in rates.items()}
        detail = {f"{name}_images_a_second": value for name, value in found.items()}
        detail |= {"cores_each": float(share), "images": float(len(place.captures)), "load": os.getloadavg()[0]}
        return [Row("scale.two_workers", found["two"] / found["one"], "x", _TARGET, detail=detail)]


class _Side:
    """A cluster; each run scores as a model version of its own, so that each writes rows."""

    def __init__(self, place: Night, client: "Client", bundle: str, name: str) -> None:
        self._place, self._client, self._bundle, self._name = place, client, bundle, name
        self._version = 0

    def run(self) -> float:
        """Photographs a second."""
        self._version += 1
        run_id = f"{self._name}-{self._version}"
        # one model version for all runs, so that it is loaded once; each has rows of its own by the fingerprint
        champion = Champion(ScoredBy(f"bench-{self._name}", "1", run_id), self._bundle)
        with database.session(self._place.engine) as session:
            runs.start(session, run_id, champion.by)
        shas = [capture.sha256 for capture in self._place.captures]
        chunks = [shas[i : i + _CHUNK] for i in range(0, len(shas), _CHUNK)]
        began = time.perf_counter()
        futures = [
            self._client.submit(
                screening_steps.score_batch,
                chunk,
                champion,
                Work(run_id, f"{run_id}:{i}", overlay_size=_OVERLAY),
                "ada",
            )
            for i, chunk in enumerate(chunks)
        ]
        done = sum(self._client.gather(futures), Batch())
        if done.scored + done.ungradable != len(shas):
            raise InferenceError(f"scale: {done} of {len(shas)} photographs")
        return len(shas) / (time.perf_counter() - began)


@contextmanager
def _cluster(place: Night, workers: int, share: int) -> Iterator["Client"]:
    from distributed import Client, LocalCluster

    with LocalCluster(**runners.local(workers, share, place.settings)) as cluster, Client(cluster) as client:
        yield client
