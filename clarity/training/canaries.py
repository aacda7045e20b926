"""Canaries of a bundle: phantoms of every grade and an ungradable one, chosen so that another CPU answers the same."""

import tempfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from clarity import grades
from clarity.data import phantoms
from clarity.data.phantoms.writing import encode
from clarity.inference import bundle as bundles
from clarity.inference import canary
from clarity.inference.bundle import Bundle
from clarity.inference.canary import Canary, Expected
from clarity.inference.engine import Engine
from clarity.inference.grader import Grader
from clarity.inference.parity import Parity
from clarity.inference.processor import Precision
from clarity.inference.spec import Facts
from clarity.records import Eye

TRIES = 4
"""Drawings of which one is taken: near a rounding between two grades another CPU may round otherwise."""
_SEED = 71_000
"""Far from the seeds of a data set of phantoms, which are drawn at random from 48 bits."""


def write(folder: Path, *, graph: Path, facts: Facts, parity: Mapping[Precision, Parity], count: int) -> Bundle:
    """Write the bundle as ``bundle.write`` does, with ``count`` canaries and what each form that passed says of them.

    They are graded by the Grader that screening uses. Raises BundleError, InferenceError.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".canaries-", dir=folder.parent) as scratch:
        mute = bundles.write(Path(scratch) / "bundle", graph=graph, facts=facts, parity=parity)
        chosen = choose(mute, count)
        return bundles.write(folder, graph=mute.path, facts=facts, parity=parity, canaries=chosen)


def choose(bundle: Bundle, count: int) -> list[tuple[Canary, bytes]]:
    """Grades 0 to 4 in turn, the last one ungradable; of TRIES drawings the first that every form is clear about.

    Where none is, the clearest. Raises InferenceError.
    """
    asked = [_asked(number, count) for number in range(count)]
    size = max(384, round(1.25 * bundle.spec.imaging.size))
    drawings = [[_draw(_SEED + TRIES * i + k, *of, size) for k in range(TRIES)] for i, of in enumerate(asked)]
    answers = {form: _ask(bundle, form, [one for some in drawings for one in some]) for form in bundle.spec.forms}
    kept = []
    for number, (grade, gradable) in enumerate(asked):
        options = [{form: said[TRIES * number + k] for form, said in answers.items()} for k in range(TRIES)]
        best = _clearest(options, gradable, bundle.spec.decision)
        made = Canary(f"canary-{number}.jpg", grade, gradable, options[best])
        kept.append((made, drawings[number][best]))
    return kept


def _asked(number: int, count: int) -> tuple[int, bool]:
    """Grade, and whether it shall be gradable."""
    return (2, False) if number == count - 1 and count > 1 else (grades.GRADES[number % len(grades.GRADES)], True)


@lru_cache(maxsize=128)
def _draw(seed: int, grade: int, gradable: bool, size: int) -> bytes:
    quality = "good" if gradable else "reject"
    return encode(phantoms.draw(seed, grade, size=size, eye=Eye.RIGHT, quality=quality).image)


def _ask(bundle: Bundle, form: Precision, photographs: list[bytes]) -> list[Expected]:
    with Grader(bundle, Engine.load(bundle, precision=form), "canaries") as grader:
        return [canary.said(result) for result in grader.grade(photographs)]


def _clearest(options: list[dict[Precision, Expected]], gradable: bool, decision: str) -> int:
    def room(index: int) -> float:
        said = options[index]
        if any(one.gradable != gradable for one in said.values()):
            return float("-inf")
        return min(canary.robust(one, form, decision) for form, one in said.items())

    rooms = [room(index) for index in range(len(options))]
    return next((index for index, one in enumerate(rooms) if one > 0), max(range(len(rooms)), key=rooms.__getitem__))
