"""How near the fast path from bytes to a prepared image is to that of the photograph decoded in full, and to its grade.

All photographs of a folder, each prepared twice: as everywhere in Clarity, no more decoded than needed; and from its
full-size pixels. Nothing is timed.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clarity.bench.rows import Row
from clarity.errors import ClarityError
from clarity.imaging import decode, prepare, prepare_image, to_tensor
from clarity.inference import decision
from clarity.inference.bundle import Bundle
from clarity.inference.engine import Engine
from clarity.params import ImagingParams, QualityParams
from clarity.records import Prepared

SIZES = (224, 384)
NEAR, SAME = 2.0, 0.995
"""Grey levels, the mean of a photograph's pixels; share of equal grades."""
_TOGETHER = 16
Photographs = Callable[[], Iterable[bytes]]
"""Gives them anew each time: a folder of them need not fit into memory."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One photograph, prepared both ways."""

    fast: Prepared
    full: Prepared

    @property
    def apart(self) -> float:
        """Mean absolute difference, grey levels."""
        return float(np.abs(self.fast.image.astype(np.float32) - self.full.image).mean())


def apart(photographs: Photographs, imaging: ImagingParams, quality: QualityParams, origin: str) -> list[Row]:
    """``imaging.apart.224`` and ``.384``: that of the worst photograph, in grey levels; their mean is in the detail."""
    sized = [imaging.model_copy(update={"size": size}) for size in SIZES]
    found: dict[int, list[float]] = {size: [] for size in SIZES}
    turned = dict.fromkeys(SIZES, 0)
    for one in sized:
        for pair in _pairs(photographs(), one, quality):
            found[one.size].append(pair.apart)
            turned[one.size] += pair.fast.quality.gradable != pair.full.quality.gradable
    return [_row(size, found[size], turned[size], origin) for size in SIZES]


def same_grades(photographs: Photographs, bundle: Bundle, origin: str) -> Row:
    """``imaging.same_grades``: the share of the photographs, gradable both ways, that a trained model grades alike."""
    spec, engine = bundle.spec, Engine.load(bundle, precision="fp32")
    grades: list[NDArray[np.int64]] = []
    waiting: list[Pair] = []
    for pair in _pairs(photographs(), spec.imaging, spec.quality):
        if pair.fast.quality.gradable and pair.full.quality.gradable:
            waiting.append(pair)
        if len(waiting) == _TOGETHER:
            grades.append(_graded(engine, waiting, bundle))
            waiting = []
    grades += [_graded(engine, waiting, bundle)] if waiting else []
    if not grades:
        raise ValueError(f"{origin}: no gradable photograph, nothing to compare")
    fast, full = np.concatenate(grades, axis=1)
    detail: dict[str, float | str] = {
        "photographs": float(len(fast)),
        "different": float((fast != full).sum()),
        "grades": " ".join(str(int((fast == grade).sum())) for grade in range(5)),
        "model": spec.name,
        "origin": origin,
    }
    return Row("imaging.same_grades", float((fast == full).mean()), "share", SAME, detail=detail)


def _pairs(photographs: Iterable[bytes], imaging: ImagingParams, quality: QualityParams) -> Iterator[Pair]:
    for data in photographs:
        try:
            yield Pair(prepare(data, imaging, quality), prepare_image(decode(data, imaging), imaging, quality))
        except ClarityError:
            continue  # a folder of photographs also holds what is none


def _graded(engine: Engine, pairs: Sequence[Pair], bundle: Bundle) -> NDArray[np.int64]:
    """(2, N): by the fast path, and by the full decode."""
    images = [pair.fast.image for pair in pairs] + [pair.full.image for pair in pairs]
    scores = engine.run(to_tensor(np.stack(images)))
    probability = decision.probabilities(scores.logits, bundle.spec.temperature)
    return decision.grade(probability, bundle.spec.decision).reshape(2, -1)


def _row(size: int, found: Sequence[float], turned: int, origin: str) -> Row:
    if not found:
        raise ValueError(f"{origin}: no photograph that can be read, nothing to compare")
    detail: dict[str, float | str] = {
        "mean": float(np.mean(found)),
        "two_or_more": float(sum(value >= NEAR for value in found)),
        "photographs": float(len(found)),
        "gradable_one_way_only": float(turned),
        "origin": origin,
    }
    return Row(f"imaging.apart.{size}", max(found), "grey levels", NEAR, more_is_better=False, detail=detail)
