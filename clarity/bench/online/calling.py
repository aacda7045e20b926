"""The bench's end of a client process: start it, hear what it says, end it, count."""

import json
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from clarity.bench.online.load import Call, Order
from clarity.errors import InferenceError
from clarity.inference.processor import cores


@dataclass(frozen=True, slots=True)
class Called:
    """All that a client process did."""

    calls: list[Call]
    seconds: float
    cpu_s: float
    """Of the client itself, which shares the cores with the server."""

    @property
    def accepted(self) -> list[float]:
        """Milliseconds of the answers that were results, in order."""
        return sorted(1000 * call.seconds for call in self.calls if call.status == 200)

    @property
    def statuses(self) -> Counter[int]:
        """How many of each; 0 where no answer came."""
        return Counter(call.status for call in self.calls)

    def detail(self) -> dict[str, float | str]:
        """For a row: medians and tails, counts, and the client's share of the cores."""
        return {
            "p50_ms": percentile(self.accepted, 0.5),
            "p99_ms": percentile(self.accepted, 0.99),
            "statuses": " ".join(f"{status}:{count}" for status, count in sorted(self.statuses.items())),
            "client_cpu": self.cpu_s / self.seconds / cores(),
        }


class Client:
    """A client process at work."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._done: dict[str, Any] | None = None

    def until(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any] | None:
        """The first line said from now on for which ``holds``; None where it ended before."""
        assert self._process.stdout  # noqa: S101 - a pipe was asked for
        for line in self._process.stdout:
            said: dict[str, Any] = json.loads(line)
            if "calls" in said:
                self._done = said
            elif holds(said):
                return said
        return None

    def stop(self) -> None:
        """No further request."""
        assert self._process.stdin  # noqa: S101
        self._process.stdin.close()

    def called(self) -> Called:
        """Wait for its end. Raises InferenceError where it failed."""
        self.until(lambda _: False)
        if self._process.wait() or self._done is None:
            raise InferenceError(f"client process: ended with {self._process.returncode}, no figures")
        return Called([Call(**call) for call in self._done["calls"]], self._done["seconds"], self._done["cpu_s"])


@contextmanager
def calling(order: Order) -> Iterator[Client]:
    """A client process that has begun."""
    command = [sys.executable, "-m", "clarity.bench.online.load"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin  # noqa: S101
        process.stdin.write(json.dumps(asdict(order)) + "\n")
        process.stdin.flush()
        try:
            yield Client(process)
        finally:
            if process.poll() is None:
                process.kill()


def percentile(values: Sequence[float], share: float) -> float:
    """Of sorted values; NaN of none."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


def median(values: Sequence[float]) -> float:
    """NaN of none."""
    return statistics.median(values) if values else float("nan")
