"""What a network says of prepared photographs, whatever runs it; and the refusal of what is not a result."""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from clarity import grades
from clarity.errors import InferenceError
from clarity.records import Tensor

Streams = Literal["latency", "throughput"]
"""Whether one call gets all cores, or a large batch is split over them."""


@dataclass(frozen=True, slots=True)
class Scores:
    """What the network says of N prepared photographs."""

    logits: NDArray[np.float32]
    """(N, 5), not calibrated."""
    maps: NDArray[np.float32]
    """(N, 5, h, w): evidence for each grade by place; signed, not normalised."""


LARGEST_CELL = float(np.finfo(np.float16).max)
"""Of a map: overlays carry its numbers as float16 (``carried``)."""


class Backend(Protocol):
    """A network that is ready to run on one kind of machine. Safe to call from several threads."""

    map_shape: tuple[int, ...]
    """(h, w) of a map."""

    def run(self, tensor: Tensor) -> Scores:
        """(N, 3, S, S) float32, finite, N >= 1 -> scores whose arrays are the caller's own. Raises InferenceError."""
        ...


def join(parts: list[Scores], map_shape: tuple[int, ...]) -> Scores:
    """Scores of consecutive pieces of a batch as one; of no piece, no photographs."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        classes = len(grades.GRADES)
        return Scores(np.zeros((0, classes), np.float32), np.zeros((0, classes, *map_shape), np.float32))
    return Scores(np.concatenate([p.logits for p in parts]), np.concatenate([p.maps for p in parts]))


def check_input(tensor: Tensor, size: int) -> None:
    """Refuse what is not a batch of prepared photographs. Raises InferenceError."""
    if tensor.ndim != 4 or tensor.shape[1:] != (3, size, size) or tensor.dtype != np.float32:
        raise InferenceError(f"tensor {tensor.shape} {tensor.dtype}: not (N, 3, {size}, {size}) float32")
    if not np.isfinite(tensor).all():
        raise InferenceError(f"tensor {tensor.shape}: holds NaN or infinity")


def check(scores: Scores, count: int, map_shape: tuple[int, ...]) -> None:
    """Refuse what is not a result, so that it never becomes a grade. Raises InferenceError."""
    classes = len(grades.GRADES)
    if scores.logits.shape != (count, classes):
        raise InferenceError(f"logits {scores.logits.shape}: not ({count}, {classes})")
    if scores.maps.shape != (count, classes, *map_shape):
        raise InferenceError(f"maps {scores.maps.shape}: not {(count, classes, *map_shape)}")
    for name, values in (("logits", scores.logits), ("maps", scores.maps)):
        if not np.isfinite(values).all():
            raise InferenceError(f"{name} {values.shape}: hold NaN or infinity, no grade can be given")
    if scores.maps.size and (worst := float(np.abs(scores.maps).max())) > LARGEST_CELL:
        raise InferenceError(f"maps {scores.maps.shape}: a cell of {worst:g}, at most {LARGEST_CELL:g} can be kept")


def reason(error: Exception) -> str:
    """The last line of what a runtime says; the lines before it are its own source code's places."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__
