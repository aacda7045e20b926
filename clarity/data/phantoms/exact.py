"""Arithmetic whose every bit is the same on every processor.

NumPy's and the C library's exp, sin, normal deviates, matrix products and pairwise sums take other roundings where a
processor has other vector instructions; IEEE 754 fixes + - * / sqrt floor and comparisons. Phantoms are drawn with
those only, with integers, and with the raw stream of a bit generator, which NumPy promises to keep (NEP 19).
"""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Plane = NDArray[np.float32]
"""(H, W) float32."""
T = TypeVar("T")

PI = 3.141592653589793
_BAND = 64  # rows of a plane worked on at once: what stays in the processor's cache is not fetched again


class Dice:
    """Uniform random numbers from a key of integers, for example ``Dice(seed, 3)``."""

    def __init__(self, *key: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(key))

    def floats(self, *shape: int) -> Floats:
        """Uniform float64 in [0, 1)."""
        raw = self._bits.random_raw(int(np.prod(shape)))
        return ((raw >> np.uint64(11)).astype(np.float64) * 2.0**-53).reshape(shape)

    def array(self, low: float, high: float, *shape: int) -> Floats:
        """Uniform float64 in [low, high)."""
        return low + (high - low) * self.floats(*shape)

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * ((int(self._bits.random_raw()) >> 11) * 2.0**-53)

    def integer(self, low: int, high: int) -> int:
        """Uniform integer from low to high, both included."""
        return low + int(self.uniform(0.0, 1.0) * (high - low + 1))

    def chance(self, probability: float) -> bool:
        return self.uniform(0.0, 1.0) < probability

    def choice(self, items: Sequence[T]) -> T:
        return items[self.integer(0, len(items) - 1)]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        return [items[i] for i in np.argsort(self.floats(len(items)), kind="stable")]

    def bytes(self, *shape: int) -> NDArray[np.uint8]:
        """Uniform uint8, eight from each raw draw."""
        count = int(np.prod(shape))
        raw = self._bits.random_raw((count + 7) // 8).astype("<u8")
        return raw.view(np.uint8)[:count].reshape(shape)


def sin(x: Floats | float) -> Floats:
    """Sine to about 1e-9: reduced to a quarter turn, then the Taylor polynomial to x^15."""
    angle = np.asarray(x, dtype=np.float64)
    turns = np.floor(angle / (2 * PI) + 0.5)
    angle = angle - turns * (2 * PI)
    angle = np.where(angle > PI / 2, PI - angle, np.where(angle < -PI / 2, -PI - angle, angle))
    square = angle * angle
    term = 1.0 - square / 210.0
    for divisor in (156.0, 110.0, 72.0, 42.0, 20.0, 6.0):
        term = 1.0 - square / divisor * term
    result: Floats = angle * term
    return result


def cos(x: Floats | float) -> Floats:
    return sin(np.asarray(x, dtype=np.float64) + PI / 2)


def smooth(x: NDArray[np.floating[Any]]) -> Plane:
    """0 below 0, 1 above 1, 3x^2 - 2x^3 between."""
    t = np.clip(x, 0.0, 1.0).astype(np.float32, copy=False)
    result: Plane = t * t * (np.float32(3.0) - np.float32(2.0) * t)
    return result


def bands(height: int) -> Iterator[slice]:
    """The rows of a plane in bands."""
    return (slice(start, start + _BAND) for start in range(0, height, _BAND))


def noise(dice: Dice, height: int, width: int, cell: float) -> Plane:
    """(height, width) float32 smooth noise, mean 0, deviation about 0.55: a cubic B-spline over white noise.

    ``cell`` is the spacing of the spline's knots, pixels.
    """
    knots = dice.array(-2.0, 2.0, int(height / cell) + 5, int(width / cell) + 5).astype(np.float32)
    across = _spline(np.ascontiguousarray(knots.T), width, cell)
    return _spline(np.ascontiguousarray(across.T), height, cell)


def _spline(knots: Plane, length: int, cell: float) -> Plane:
    position = np.arange(length, dtype=np.float64) / cell
    index = np.floor(position).astype(np.intp)
    t = position - index
    s = 1.0 - t
    weights = (s * s * s, 3 * t * t * t - 6 * t * t + 4, 3 * s * s * s - 6 * s * s + 4, t * t * t)
    columns = [(weight / 6.0).astype(np.float32)[:, None] for weight in weights]
    total = np.empty((length, knots.shape[1]), np.float32)
    for rows in bands(length):
        _blend(knots, index[rows], [column[rows] for column in columns], total[rows])
    return total


def _blend(knots: Plane, index: NDArray[np.intp], columns: Sequence[Plane], out: Plane) -> None:
    """Each row of ``out``: the four knots from ``index`` on, weighted."""
    part = np.empty_like(out)
    np.multiply(columns[0], np.take(knots, index, axis=0, out=part, mode="clip"), out=out)
    for k in (1, 2, 3):
        np.take(knots, index + k, axis=0, out=part, mode="clip")
        part *= columns[k]
        out += part
