"""Who the phantom patients are: which eyes, grades and qualities, from the configuration alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count as natural
from itertools import islice

from clarity.data.phantoms.exact import Dice
from clarity.grades import GRADES
from clarity.params import PhantomParams
from clarity.records import Eye

_PATIENT, _BLOCK = 101, 102  # keys that keep these dice apart from those of a drawing


@dataclass(frozen=True, slots=True)
class Order:
    """One phantom to draw; ``image`` is its file name."""

    image: str
    patient: str
    eye: Eye
    grade: int
    quality: str
    seed: int
    patient_seed: int


def plan(params: PhantomParams, count: int | None = None) -> list[Order]:
    """The first ``count`` phantoms of the configuration's patients; a smaller count gives the same ones, fewer.

    Every five patients have one first eye of each grade, in mixed order. The second eye mostly has the same grade or
    one beside it.
    """
    return list(islice(_orders(params), params.count if count is None else count))


def _orders(params: PhantomParams) -> Iterator[Order]:
    for number in natural():
        block, place = divmod(number, len(GRADES))
        first = Dice(params.seed, _BLOCK, block).shuffled(GRADES)[place]
        dice = Dice(params.seed, _PATIENT, number)
        patient_seed = dice.integer(0, 2**48)
        both = dice.chance(params.patients_share_both_eyes)
        eyes = dice.shuffled((Eye.LEFT, Eye.RIGHT))
        for eye, grade in zip(eyes[: 1 + both], (first, _fellow(dice, first)), strict=False):
            seed, quality = dice.integer(0, 2**48), _quality(dice, params.poor_quality_share)
            image = f"phantom-{number:05d}_{eye.value}.jpg"
            yield Order(image, f"phantom-{number:05d}", eye, grade, quality, seed, patient_seed)


def _fellow(dice: Dice, grade: int) -> int:
    roll = dice.uniform(0.0, 1.0)
    if roll < 0.6:
        return grade
    if roll < 0.92:
        return min(max(grade + dice.choice((-1, 1)), GRADES[0]), GRADES[-1])
    return dice.choice(GRADES)


def _quality(dice: Dice, poor: float) -> str:
    roll = dice.uniform(0.0, 1.0)
    if roll < poor:
        return "reject"
    return "usable" if roll < 3 * poor else "good"
