"""OpenVINO on the CPU: every precision, no torch."""

import queue
from collections import deque
from pathlib import Path
from typing import Any, Self

import numpy as np

from clarity.errors import InferenceError
from clarity.inference.processor import Precision, core
from clarity.inference.scores import Scores, Streams, join, reason
from clarity.records import Tensor

_HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "bf16"}
"""Of int8, what is not quantised: the head, at least. Where bf16 is not native, OpenVINO computes that in fp32."""
_MAX_BATCH = 16
"""Larger batches are run in pieces: no faster in one, and memory stays bounded."""
_MIN_PIECE = 4
"""Smaller pieces are not worth a request of their own."""


class OpenvinoCpu:
    """A compiled graph: one request that uses all threads, or one a stream, each with its share of the threads."""

    def __init__(self, compiled: Any, requests: int) -> None:
        self._count = requests
        self._free: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(requests):
            self._free.put(compiled.create_infer_request())
        self.map_shape = tuple(side.get_length() for side in list(compiled.output("maps").partial_shape)[2:])

    @classmethod
    def load(cls, graph: Path, precision: Precision, threads: int, streams: Streams) -> Self:
        """Compile. Raises InferenceError where the graph cannot be read or compiled."""
        count = threads if streams == "throughput" else 1
        options = {
            "PERFORMANCE_HINT": "THROUGHPUT" if count > 1 else "LATENCY",
            "NUM_STREAMS": str(count),
            "INFERENCE_NUM_THREADS": str(threads),
            # Without it a CPU with bf16 instructions silently computes fp32 in bf16.
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            # Pinned threads of two engines on one machine would share cores and leave others idle.
            "ENABLE_CPU_PINNING": "NO",
        }
        try:
            return cls(core().compile_model(str(graph), "CPU", options), count)
        except (RuntimeError, ValueError) as error:
            raise InferenceError(f"{graph}: cannot be compiled for cpu at {precision}: {reason(error)}") from None

    def run(self, tensor: Tensor) -> Scores:
        """As ``Backend.run``. Several threads may call: each works with the requests that are free."""
        size = min(_MAX_BATCH, max(_MIN_PIECE, -(-len(tensor) // self._count)))
        pieces = [np.ascontiguousarray(tensor[i : i + size]) for i in range(0, len(tensor), size)]
        try:
            return join(self._all(pieces), self.map_shape)
        except RuntimeError as error:
            raise InferenceError(f"batch of {len(tensor)}: {reason(error)}") from None

    def _all(self, pieces: list[Tensor]) -> list[Scores]:
        """A piece's memory is read in place, so it is kept until its request is done."""
        done: list[Scores] = []
        running: deque[Any] = deque()
        try:
            for piece in pieces:
                # Who holds a request never waits for another's: callers that wait for each other would wait for ever.
                if running and self._free.empty():
                    done.append(self._finish(running))
                request = self._free.get()
                running.append(request)
                request.start_async([piece], share_inputs=True)
            while running:
                done.append(self._finish(running))
        finally:
            for request in running:
                request.cancel()
                self._free.put(request)
        return done

    def _finish(self, running: deque[Any]) -> Scores:
        """Wait for the oldest, and copy the results out of its own memory, which its next piece will overwrite."""
        request = running[0]
        request.wait()
        scores = Scores(*(np.array(request.get_tensor(name).data) for name in ("logits", "maps")))
        self._free.put(running.popleft())
        return scores
