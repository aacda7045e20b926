"""A capture's way from the object store to its row and its overlay, against the same loop as it is usually written."""

import functools
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from clarity.bench import network as nets
from clarity.bench import usual
from clarity.bench.night import Night, night, photographs
from clarity.bench.rows import Row, interleaved
from clarity.errors import InferenceError
from clarity.inference import processor
from clarity.inference.bundle import Bundle
from clarity.inference.engine import Engine
from clarity.inference.grader import Grader
from clarity.inference.processor import Precision, cores
from clarity.screening import policy, score
from clarity.screening.policy import Policy
from clarity.storage import database, runs
from clarity.storage.scans import ScoredBy

_NUMBER, _MOST, _CALIBRATION = 64, 5, 32
_OVERLAY = 224
"""Pixels: of the size that the usual loop draws, so that both sides store the same."""
_TARGETS: dict[Precision, float] = {"bf16": 6.0, "int8": 10.0}
_BUSY = 0.80


def rows(images: Path | None, repeats: int) -> list[Row]:
    """``screening.bf16``, ``screening.int8`` (times faster, an image), ``screening.busy`` (share of the cores).

    JPEG in S3 -> prediction row in PostgreSQL and overlay in S3: ResNet-50, 224 px, real servers on this machine. The
    usual loop: one image at a time, boto3, OpenCV, torchvision with pytorch-grad-cam, one INSERT.
    """
    torch.set_num_threads(cores())
    data, model = photographs(images, _NUMBER), nets.resnet()
    with tempfile.TemporaryDirectory(prefix="clarity-bench-") as folder, night(data) as place:
        bundle = nets.draft(model, nets.photographs(_CALIBRATION), Path(folder))
        lanes = {name: _lane(place, bundle, name) for name in _TARGETS if name in processor.here()}
        loop = usual.Loop(place, nets.torchvisions(model))
        _check(lanes, loop)
        sides: dict[str, Any] = {name: lane.run for name, lane in lanes.items()}
        seconds = interleaved(sides | {"usual": loop.run}, min(repeats, _MOST))
        found = [_row(name, seconds, len(data)) for name in lanes]
        return [*found, _busy(place, bundle, min(lanes, key=seconds.__getitem__), seconds, len(data))]


@dataclass
class _Lane:
    """Clarity's way with one grader; each run scores as a model version of its own, so that each writes rows."""

    place: Night
    grader: Grader
    name: str
    version: int = 0

    def run(self) -> score.Batch:
        self.version += 1
        by = ScoredBy("bench", f"{self.name}-{self.version}", self.grader.bundle.spec.fingerprint)
        shas, place = [capture.sha256 for capture in self.place.captures], self.place
        work = score.Work(f"{self.name}-{self.version}", "all", overlay_size=_OVERLAY)
        with database.session(place.engine) as session:
            runs.start(session, work.run_id, by)
        return score.score_batch(self.grader, place.objects, place.engine, shas, by=by, work=work, policy=_policy())


@functools.lru_cache(maxsize=1)
def _policy() -> Policy:
    return policy.load(Path(__file__).resolve().parents[2] / policy.FOLDER, "ada")


def _lane(place: Night, bundle: Bundle, precision: Precision) -> _Lane:
    engine = Engine.load(bundle, precision=precision, streams="throughput")
    return _Lane(place, Grader(bundle, engine, "bench"), precision)


def _check(lanes: dict[Precision, _Lane], loop: usual.Loop) -> None:
    """Both sides end with a row and an overlay for every capture: an ungradable one would be less work for ours."""
    written = loop.run()
    for name, lane in lanes.items():
        batch = lane.run()
        if batch.scored != written:
            raise InferenceError(f"screening at {name}: {batch}, the usual loop wrote {written} rows")


def _row(name: Precision, seconds: dict[str, float], number: int) -> Row:
    ours, theirs = 1000 * seconds[name] / number, 1000 * seconds["usual"] / number
    detail = {"ours_ms": ours, "usual_ms": theirs, "images_a_second": 1000 / ours, "images": float(number)}
    return Row(f"screening.{name}", theirs / ours, "x", _TARGETS[name], detail=detail)


def _busy(place: Night, bundle: Bundle, precision: Precision, seconds: dict[str, float], number: int) -> Row:
    """The CPU time of the same work done by one thread, one step after the other, over that of all cores in our run."""
    engine = Engine.load(bundle, precision=precision, threads=1)
    with Grader(bundle, engine, "bench", jobs=1) as grader:
        alone = _Lane(place, grader, f"alone-{precision}")
        alone.run()  # the graph is prepared for its batches once
        servers, start = place.server_seconds(), time.process_time()
        alone.run()
        own, theirs = time.process_time() - start, place.server_seconds() - servers
    share = (own + theirs) / (seconds[precision] * cores())
    detail = {"own_cpu_ms": 1000 * own / number, "servers_cpu_ms": 1000 * theirs / number, "precision": precision}
    return Row("screening.busy", share, "share", _BUSY, detail=detail)
