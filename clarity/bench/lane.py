"""Clarity's way from the store to rows and overlays, as a bench runs it: again and again over the same captures."""

import functools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from clarity.bench.night import Night
from clarity.inference.bundle import Bundle
from clarity.inference.engine import Engine
from clarity.inference.grader import Grader
from clarity.inference.processor import Precision
from clarity.screening import policy, score
from clarity.screening.policy import Policy
from clarity.storage import database, runs
from clarity.storage.scans import ScoredBy


@dataclass
class Lane:
    """The captures of one night with one grader; each run scores as a model version of its own and so writes rows."""

    place: Night
    grader: Grader
    name: str
    overlay_size: int
    """Pixels."""
    version: int = 0

    @classmethod
    def of(cls, place: Night, bundle: Bundle, precision: Precision, overlay_size: int) -> Self:
        """As a night runs: all cores, many images soon."""
        engine = Engine.load(bundle, precision=precision, streams="throughput")
        return cls(place, Grader(bundle, engine, "bench"), f"{precision}-{overlay_size}", overlay_size)

    def run(self) -> score.Batch:
        """Score every capture once more."""
        self.version += 1
        by = ScoredBy("bench", f"{self.name}-{self.version}", self.grader.bundle.spec.fingerprint)
        shas, place = [capture.sha256 for capture in self.place.captures], self.place
        work = score.Work(f"{self.name}-{self.version}", "all", overlay_size=self.overlay_size)
        with database.session(place.engine) as session:
            runs.start(session, work.run_id, by)
        return score.score_batch(self.grader, place.objects, place.engine, shas, by=by, work=work, policy=_policy())


def alone(place: Night, bundle: Bundle, precision: Precision, overlay_size: int) -> tuple[float, float]:
    """CPU seconds of the same work done by one thread, one step after the other: this process's, and the servers'."""
    engine = Engine.load(bundle, precision=precision, threads=1)
    with Grader(bundle, engine, "bench", jobs=1) as grader:
        lane = Lane(place, grader, f"alone-{precision}-{overlay_size}", overlay_size)
        lane.run()  # the graph is prepared for its batches once
        servers, start = place.server_seconds(), time.process_time()
        lane.run()
        return time.process_time() - start, place.server_seconds() - servers


@functools.lru_cache(maxsize=1)
def _policy() -> Policy:
    return policy.load(Path(__file__).resolve().parents[2] / policy.FOLDER, "ada")
