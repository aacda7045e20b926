"""How much disease a grade has: counts by kind and quadrant for which the ICDR rule gives the grade back."""

from clarity.data.phantoms.exact import Dice
from clarity.data.phantoms.grading import (
    BEADING,
    BLOT,
    COTTON_WOOL,
    DOT,
    EXUDATE,
    IRMA,
    MANY_HAEMORRHAGES,
    MICROANEURYSM,
    NEOVESSELS,
    PRERETINAL,
    Counts,
)

Burden = dict[str, Counts]


def burden(dice: Dice, grade: int) -> Burden:
    """The lesions to be placed. Exudates are counted in spots; placing may leave out a few of what is asked."""
    if grade == 0:
        return {}
    if grade == 1:
        return {MICROANEURYSM: _scattered(dice, dice.integer(6, 20))}
    return (_moderate, _severe, _proliferative)[grade - 2](dice)


def _moderate(dice: Dice) -> Burden:
    found = {MICROANEURYSM: _scattered(dice, dice.integer(8, 24)), **_haemorrhages(dice, dice.integer(6, 26))}
    if dice.chance(0.6):
        found[EXUDATE] = _scattered(dice, dice.integer(12, 48), spread=2)
    if dice.chance(0.3):
        found[COTTON_WOOL] = _scattered(dice, dice.integer(1, 3))
    if dice.chance(0.1):
        found[BEADING] = _in_quadrants(dice, 1, 1)
    return found


def _severe(dice: Dice) -> Burden:
    """At least one arm of the 4-2-1 rule, over a background that is heavier than moderate disease."""
    arms = dice.choice(
        (
            (True, False, False),
            (True, False, False),
            (True, True, False),
            (True, False, True),
            (False, True, False),
            (False, True, True),
            (False, False, True),
        )
    )
    many, irma, beading = arms
    low = MANY_HAEMORRHAGES + 2 if many else 9
    each = [dice.integer(low, low + 9) for _ in range(4)]
    found = {MICROANEURYSM: _scattered(dice, dice.integer(14, 34)), **_split(dice, each)}
    if irma:
        found[IRMA] = _in_quadrants(dice, dice.integer(1, 3), 2)
    if beading:
        found[BEADING] = _in_quadrants(dice, dice.integer(2, 3), 1)
    if dice.chance(0.65):
        found[EXUDATE] = _scattered(dice, dice.integer(14, 60), spread=3)
    if dice.chance(0.6):
        found[COTTON_WOOL] = _scattered(dice, dice.integer(2, 6))
    return found


def _proliferative(dice: Dice) -> Burden:
    new, bleeding = dice.choice(((True, False), (True, False), (True, True), (False, True)))
    found = {MICROANEURYSM: _scattered(dice, dice.integer(4, 30))}
    found |= _split(dice, [dice.integer(1, 16) for _ in range(4)])
    if new:
        found[NEOVESSELS] = _scattered(dice, dice.integer(1, 3))
    if bleeding:
        found[PRERETINAL] = _scattered(dice, dice.choice((1, 1, 2)))
    if dice.chance(0.3):
        found[IRMA] = _in_quadrants(dice, dice.integer(1, 2), 1)
    if dice.chance(0.5):
        found[EXUDATE] = _scattered(dice, dice.integer(12, 48), spread=2)
    if dice.chance(0.4):
        found[COTTON_WOOL] = _scattered(dice, dice.integer(1, 4))
    return found


def _haemorrhages(dice: Dice, total: int) -> Burden:
    return _split(dice, list(_scattered(dice, total)))


def _split(dice: Dice, each: list[int]) -> Burden:
    """Haemorrhages by quadrant into dots and blots."""
    blots = [min(count, int(count * dice.uniform(0.3, 0.7) + 0.5)) for count in each]
    dots = [count - blot for count, blot in zip(each, blots, strict=True)]
    return {DOT: _counts(dots), BLOT: _counts(blots)}


def _scattered(dice: Dice, total: int, spread: int = 4) -> Counts:
    """``total`` lesions over at most ``spread`` quadrants."""
    quadrants = dice.shuffled(range(4))[:spread]
    counts = [0, 0, 0, 0]
    for _ in range(total):
        counts[dice.choice(quadrants)] += 1
    return _counts(counts)


def _in_quadrants(dice: Dice, quadrants: int, most: int) -> Counts:
    counts = [0, 0, 0, 0]
    for quadrant in dice.shuffled(range(4))[:quadrants]:
        counts[quadrant] = dice.integer(1, most)
    return _counts(counts)


def _counts(values: list[int]) -> Counts:
    return (values[0], values[1], values[2], values[3])
