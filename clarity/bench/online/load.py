"""Many callers at once, in a client process of their own: ``python -m clarity.bench.online.load``.

It reads an ``Order`` from standard input as one line of JSON, works until its time is over or its input ends, and
writes lines: the model version of an answer where it is another than before, how many were answered, and at the end
all that was. Threads, because they sleep: a thread of Python is awake for a tenth of a millisecond a request.
"""

import itertools
import json
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clarity.bench.online.caller import Caller, Said

_REPORT_EVERY = 25


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be called."""

    host: str
    port: int
    requests: tuple[str, ...]
    """Files of whole requests, sent in turn."""
    callers: int
    seconds: float | None = None
    """None: until the input ends."""
    rate: float | None = None
    """Requests a second, whatever becomes of them; None: each caller sends its next when it has its answer."""
    keep: bool = False
    """Read every answer, and keep who gave it and what it says."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request and what became of it."""

    request: int
    began: float
    """time.monotonic(), which all processes of a machine share."""
    seconds: float
    status: int
    """0 where no answer came."""
    found: list[dict[str, Any]] | None = None
    """Version, grade, probabilities and cells of each photograph, where they are kept."""


class _Load:
    def __init__(self, order: Order) -> None:
        self.order, self.calls = order, list[Call]()
        self.requests = [Path(name).read_bytes() for name in order.requests]
        self.over, self._lock = threading.Event(), threading.Lock()
        self._numbers, self._version = itertools.count(), ""
        self.began = 0.0

    def run(self) -> None:
        threads = [threading.Thread(target=self._caller) for _ in range(self.order.callers)]
        self.began = time.monotonic()
        for thread in threads:
            thread.start()
        self.over.wait(self.order.seconds)
        self.over.set()
        for thread in threads:
            thread.join()

    def _caller(self) -> None:
        with Caller((self.order.host, self.order.port)) as caller:
            for number in self._turns():
                which = number % len(self.requests)
                began = time.monotonic()
                said = caller.call(self.requests[which])
                took = time.monotonic() - began
                self._note(Call(which, began, took, said.status, found(said) if self.order.keep else None))

    def _turns(self) -> Iterator[int]:
        while not self.over.is_set():
            with self._lock:
                number = next(self._numbers)
            if self.order.rate and self.over.wait(self.began + number / self.order.rate - time.monotonic()):
                return
            yield number

    def _note(self, call: Call) -> None:
        with self._lock:
            self.calls.append(call)
            version = call.found[0]["version"] if call.found else self._version
            if version != self._version:
                self._version = version
                _say(seen=version, at=call.began + call.seconds)
            if len(self.calls) % _REPORT_EVERY == 0:
                _say(answered=len(self.calls))


def found(said: Said) -> list[dict[str, Any]] | None:
    """What an answer says, photograph by photograph; None where it is no result."""
    if said.status != 200:
        return None
    body = json.loads(said.body)
    answers = [one["answer"] for one in body["items"]] if "items" in body else [body]
    if None in answers:
        return None
    return [
        {
            "version": one["model_version"],
            "grade": one["grade"],
            "probabilities": one["probabilities"],
            "cells": one["heatmap"]["cells"],
        }
        for one in answers
    ]


def _say(**facts: object) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def _main() -> None:
    load = _Load(Order(**json.loads(sys.stdin.readline())))

    def until_input_ends() -> None:
        sys.stdin.read()
        load.over.set()

    threading.Thread(target=until_input_ends, daemon=True).start()
    cpu = time.process_time()
    load.run()
    seconds = time.monotonic() - load.began
    _say(seconds=seconds, cpu_s=time.process_time() - cpu, calls=[asdict(call) for call in load.calls])


if __name__ == "__main__":
    _main()
