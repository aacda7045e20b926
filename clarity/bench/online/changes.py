"""A champion that changes under load: does a caller notice, and does any answer mix two versions?"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clarity.bench.online.caller import BATCH, upload
from clarity.bench.online.calling import Called, Client, calling
from clarity.bench.online.load import Call, Order
from clarity.bench.online.place import Place
from clarity.bench.online.plan import Plan
from clarity.bench.online.server import Server
from clarity.bench.rows import Row
from clarity.errors import InferenceError
from clarity.inference.bundle import Bundle
from clarity.inference.engine import Engine
from clarity.inference.grader import Graded, Grader
from clarity.inference.heatmap import evidence

SEEN_S = 10.0
_PROMOTIONS = (1, 2, 0, 1, 2)
"""Which version in turn; then a rollback."""
_CALLERS, _TOGETHER = 4, 6
_EQUAL, _CELLS = 2e-3, 0.02
"""Of a probability, and of a cell over the largest: batches and threads change no more than the last digits."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a version says of a photograph."""

    grade: int
    probabilities: tuple[float, ...]
    cells: "np.ndarray[Any, np.dtype[np.float32]]"

    def is_said(self, one: dict[str, Any]) -> bool:
        """Whether an answer is this version's own, its heatmap included."""
        cells = np.abs(np.subtract(one["cells"], self.cells)).max() / max(1e-6, float(np.abs(self.cells).max()))
        near = np.abs(np.subtract(one["probabilities"], self.probabilities)).max() <= _EQUAL
        return bool(one["grade"] == self.grade and near and cells <= _CELLS)


Known = dict[str, list[Expected]]
"""By version, each photograph in order."""


def rows(place: Place, server: Server, plan: Plan) -> list[Row]:
    """``serving.promotions`` (answers that failed, mixed versions, or never changed) and ``.seen_s`` (the slowest).

    Raises InferenceError where two versions say the same of a photograph: then nothing would be found.
    """
    known = {ref.version: _says(bundle, ref.version, place.photographs) for ref, bundle in place.versions}
    distinct(known)
    changes: list[Callable[[], str]] = [lambda n=number: place.promote(n) for number in _PROMOTIONS]  # type: ignore[misc]
    requests = [*place.requests(server.address), _batch(place, server)]
    order = Order(*server.address, tuple(str(file) for file in requests), callers=_CALLERS, keep=True)
    seen: list[float] = []
    with calling(order) as client:
        for number, change in enumerate([*changes, place.rollback], start=1):
            _answered(client, number * plan.requests // (len(changes) + 2))
            seen.append(_seen(client, change))
        _answered(client, plan.requests)
        client.stop()
        called = client.called()
    return _rows(called, known, seen)


def _rows(called: Called, known: Known, seen: list[float]) -> list[Row]:
    failed = sum(call.found is None for call in called.calls)
    mixed = sum(not is_whole(call, known) for call in called.calls if call.found)
    unseen = sum(seconds == float("inf") for seconds in seen)
    by_version = dict.fromkeys(known, 0)
    for call in called.calls:
        for one in call.found or ():
            by_version[one["version"]] = by_version.get(one["version"], 0) + 1
    detail: dict[str, float | str] = {"failed": str(failed), "mixed": str(mixed), "unseen": str(unseen)}
    detail |= {"requests": str(len(called.calls)), "versions": _counts(by_version), **called.detail()}
    times: dict[str, float | str] = {f"change_{number}": seconds for number, seconds in enumerate(seen, start=1)}
    return [
        Row("serving.promotions", float(failed + mixed + unseen), "answers", 0.0, more_is_better=False, detail=detail),
        Row("serving.promotions.seen_s", max(seen), "s", SEEN_S, more_is_better=False, detail=times),
    ]


def is_whole(call: Call, known: Known) -> bool:
    """Whether all of an answer is of the one version that it names."""
    found = call.found or []
    if len({one["version"] for one in found}) != 1 or found[0]["version"] not in known:
        return False
    photographs = known[found[0]["version"]]
    first = call.request % len(photographs)  # behind the single ones comes the batch, of the first few
    return all(photographs[first + offset].is_said(one) for offset, one in enumerate(found))


def _batch(place: Place, server: Server) -> Path:
    """A request of several photographs at once: where a version could change in the middle."""
    file = place.folder / "request-batch"
    file.write_bytes(upload(server.address, place.photographs[:_TOGETHER], path=BATCH, key=place.key))
    return file


def _says(bundle: Bundle, version: str, photographs: tuple[bytes, ...]) -> list[Expected]:
    with Grader(bundle, Engine.load(bundle), version) as grader:
        return [_expected(one) for one in grader.grade(photographs)]


def _expected(graded: object) -> Expected:
    if not isinstance(graded, Graded) or graded.prediction is None or graded.maps is None:
        raise InferenceError(f"photograph of the bench: not graded, {graded}")
    said = graded.prediction
    return Expected(said.grade, tuple(said.probabilities), evidence(graded.maps, said.grade))


def distinct(known: Known) -> None:
    """Raises InferenceError where two versions say the same of a photograph: an answer would not tell which it is."""
    for version, said in known.items():
        for other in known.keys() - {version}:
            for number, (one, two) in enumerate(zip(said, known[other], strict=True)):
                if np.abs(np.subtract(one.probabilities, two.probabilities)).max() <= 2 * _EQUAL:
                    raise InferenceError(f"photograph {number}: versions {version} and {other} say the same of it")


def _answered(client: Client, number: int) -> None:
    client.until(lambda said: said.get("answered", 0) >= number)


def _seen(client: Client, change: Callable[[], str]) -> float:
    """Seconds from the promotion to the first answer of its version; infinite where it never came."""
    version = change()
    decided = time.monotonic()
    said = client.until(lambda line: line.get("seen") == version or line.get("at", 0) > decided + 60)
    return said["at"] - decided if said and said.get("seen") == version else float("inf")


def _counts(by_version: dict[str, int]) -> str:
    return " ".join(f"{version}:{count}" for version, count in by_version.items())
