"""Runs one night in this process and dies, or waits, at a boundary: before or after a step, a write, or a commit.

``python -m clarity.drill.boundaries CONFIGURATION RUN [--die AT | --hold AT FILE | --count FILE] [--rescore]``. AT is a
boundary's number, or its name ("before score_batch"), which is the first of that name. The night itself is the real
one; what it calls is only counted on the way.
"""

import argparse
import functools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_STEPS = (
    "begin",
    "ride_canaries",
    "look",
    "register",
    "waiting",
    "score_batch",
    "find_drift",
    "finish",
    "tell",
    "publish",
)


class Boundaries:
    """Counts boundaries as they are passed, from any thread, and acts at one of them."""

    def __init__(self, die: str | None, hold: tuple[str, Path] | None) -> None:
        self.passed: list[str] = []
        self._die, self._hold, self._lock = die, hold, threading.Lock()

    def at(self, name: str) -> None:
        """A boundary was reached."""
        with self._lock:
            self.passed.append(name)
            known_as = (name, str(len(self.passed)))
        if self._die in known_as:
            os.kill(os.getpid(), signal.SIGKILL)
        if self._hold and self._hold[0] in known_as:
            self._hold[1].with_suffix(".held").touch()
            while not self._hold[1].exists():
                time.sleep(0.05)

    def around(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """The same function with a boundary before and after it."""

        @functools.wraps(function)
        def counted(*arguments: Any, **named: Any) -> Any:
            self.at(f"before {name}")
            result = function(*arguments, **named)
            self.at(f"after {name}")
            return result

        return counted


def _watch(boundaries: Boundaries) -> None:
    from sqlalchemy import Engine, event

    from clarity.storage.objects import Objects
    from flows import screening_steps

    for name in _STEPS:
        setattr(screening_steps, name, boundaries.around(getattr(screening_steps, name), name))
    Objects.put = boundaries.around(Objects.put, "put")  # type: ignore[method-assign]
    event.listen(Engine, "commit", lambda _: boundaries.at("before commit"))


def main() -> None:
    """Run the night; exit code 1 where it ends with a named error."""
    asked = _asked()
    boundaries = Boundaries(asked.die, (asked.hold[0], Path(asked.hold[1])) if asked.hold else None)
    _watch(boundaries)
    from clarity.errors import ClarityError
    from flows.screen import screen

    try:
        screen([asked.configuration], asked.run, asked.rescore)
    except ClarityError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.exit(1)
    finally:
        if asked.count:
            Path(asked.count).write_text("\n".join(boundaries.passed), encoding="utf-8")


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("configuration")
    parser.add_argument("run")
    parser.add_argument("--die")
    parser.add_argument("--hold", nargs=2)
    parser.add_argument("--count")
    parser.add_argument("--rescore", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
