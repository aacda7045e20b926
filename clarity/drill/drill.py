"""A whole drill: one undisturbed night to learn what is true, then fault after fault, each judged by what is stored."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from clarity.drill import faults, nights, verdict
from clarity.drill.captures import Round, Supply
from clarity.drill.place import Place, place
from clarity.errors import DrillError
from clarity.settings import Settings

_SCREENING = {"batch_size": 3, "overlay_size": 128, "lease_s": 60.0}


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one fault."""

    fault: str
    captures: int
    """Delivered until then; all of them are judged again each time."""
    wrong: tuple[str, ...]
    seconds: float


def drill(
    running: Settings,
    bundle: Path,
    *,
    kills: int = 50,
    every: int = 1,
    seed: int = 7,
    only: Sequence[str] = (),
    announce: Callable[[int], None] = lambda _: None,
) -> Iterator[Result]:
    """Strike and judge; a result after each fault. ``running``: a stack whose Prefect and MLflow are used, not broken.

    ``kills`` random moments; ``every`` boundary that many apart; ``only`` faults whose names contain one of these.
    ``announce`` is told how many results will come. Raises DrillError where the undisturbed night fails already,
    StackError.
    """
    with place(running, bundle, _SCREENING) as there:
        supply, truth = Supply(), verdict.Truth()
        rounds = [supply.deliver(there.objects)]
        passed = nights.boundaries(there)
        if wrong := verdict.broken(there, rounds, truth):
            raise DrillError(f"the undisturbed night is wrong already: {wrong[0]}")
        every_one = faults.all_of(passed, kills=kills, every=every, seed=seed)
        chosen = [fault for fault in every_one if not only or any(part in fault.name for part in only)]
        announce(len(chosen))
        for fault in chosen:
            rounds.append(supply.deliver(there.objects))
            yield _judged(there, fault, rounds, truth)


def _judged(there: Place, fault: faults.Fault, rounds: list[Round], truth: verdict.Truth) -> Result:
    began = time.monotonic()
    try:
        wrong = fault.strike(there)
    except DrillError as error:
        wrong = [str(error)]
    wrong += nights.complete(there)
    wrong += verdict.broken(there, rounds, truth)
    return Result(
        fault.name, sum(len(one.captures) for one in rounds), tuple(wrong), round(time.monotonic() - began, 1)
    )
