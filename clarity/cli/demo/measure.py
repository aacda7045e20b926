"""How long each step of the demo took and how much memory it held at its worst."""

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import psutil
from rich.console import Console


class Steps:
    """Times named steps and says what happens while it happens: one line when a step starts, one when it ends."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.timings_s: dict[str, float] = {}
        self._began = time.monotonic()

    @contextmanager
    def step(self, name: str, sentence: str) -> Iterator[None]:
        """Time the block as ``name``; a failed step is timed too, and its error goes on."""
        self.console.print(f"[bold cyan]▸[/] [bold]{name}[/]  {sentence}")
        start = time.monotonic()
        done = False
        try:
            yield
            done = True
        finally:
            self.timings_s[name] = round(time.monotonic() - start, 1)
            mark = "[green]✓[/]" if done else "[red]✗[/]"
            self.console.print(f"{mark} {name}  {self.timings_s[name]:.1f} s")

    def total(self) -> dict[str, float]:
        """Seconds by step, with ``total`` since this object was made."""
        return self.timings_s | {"total": round(time.monotonic() - self._began, 1)}


class PeakMemory:
    """Samples twice a second the resident memory of this process, its descendants and the given processes, summed.

    Shared pages count once for every process that maps them, so the figure is an upper bound.
    """

    def __init__(self) -> None:
        self.peak_mb = 0
        self._others: list[int] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak-memory", daemon=True)

    def also(self, pids: Iterable[int]) -> None:
        """Count these processes and their descendants too: the parts of the stack are not our children."""
        self._others.extend(pids)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.5):
            self.peak_mb = max(self.peak_mb, sum(self._resident().values()) // 2**20)

    def _resident(self) -> dict[int, int]:
        found: dict[int, int] = {}
        for root in (psutil.Process().pid, *self._others):
            try:
                process = psutil.Process(root)
                family = [process, *process.children(recursive=True)]
            except psutil.Error:
                continue
            for member in family:
                try:
                    found[member.pid] = member.memory_info().rss
                except psutil.Error:  # ended between the list and the look
                    continue
        return found
