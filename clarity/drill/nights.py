"""Nights of a drill as processes of their own: started, killed, stopped in the middle, run to their end."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from clarity.drill.nursery import Night
from clarity.drill.place import Place
from clarity.errors import DrillError

PATIENCE_S = 240.0


def start(place: Place, *arguments: str) -> Night:
    """Begin a night; see ``clarity.drill.boundaries`` for what may be asked of it. Raises DrillError."""
    run = f"drill-{uuid4().hex[:10]}"
    return place.nursery.start("clarity.drill.boundaries", str(place.configuration), run, *arguments)


def finish(night: Night, within_s: float = PATIENCE_S) -> int:
    """Wait for its end; its exit code. Raises DrillError where it hangs, and ends it."""
    code = night.wait(within_s)
    if code is None:
        night.kill()
        night.wait()
        raise DrillError(f"night of the drill: still running after {within_s:.0f} s, it hangs")
    return code


def run(place: Place, *arguments: str) -> int:
    """One night from beginning to end."""
    return finish(start(place, *arguments))


def complete(place: Place, tries: int = 3) -> list[str]:
    """What an operator does after a fault: run it again until it ends well, and repair. Sentences where it does not."""
    for _ in range(tries):
        if run(place) == 0:
            break
    else:
        return [f"the night did not end well in {tries} tries: {last_lines(place)}"]
    repair = place.nursery.start("clarity", "screen", "--repair", "--config", str(place.configuration))
    if code := finish(repair):
        return [f"repair: exit code {code}, {last_lines(place)}"]
    return []


def hold(place: Place, boundary: str, *arguments: str) -> tuple[Night, Path]:
    """A night that waits at a boundary until the file that is returned exists. Raises DrillError."""
    flag = place.folder / f"go-{uuid4().hex[:8]}"
    night = start(place, "--hold", boundary, str(flag), *arguments)
    held, until = flag.with_suffix(".held"), time.monotonic() + PATIENCE_S
    while not held.exists():
        if night.poll() is not None or time.monotonic() > until:
            raise DrillError(f"night of the drill: never came to boundary {boundary}")
        time.sleep(0.05)
    return night, flag


def boundaries(place: Place) -> list[str]:
    """An undisturbed night, and the names of the boundaries that it passed. Raises DrillError where it fails."""
    file = place.folder / "boundaries"
    if run(place, "--count", str(file)):
        raise DrillError(f"the undisturbed night failed: {last_lines(place)}")
    return file.read_text(encoding="utf-8").split("\n")


def last_lines(place: Place, number: int = 3) -> str:
    """Of what the nights said."""
    lines: Sequence[str] = place.log.read_text(encoding="utf-8", errors="replace").splitlines()
    return json.dumps([line[-200:] for line in lines[-number:]])
