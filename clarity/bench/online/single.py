"""One caller, one photograph of a megapixel, grade and heatmap: what HTTP costs, and the usual way beside it."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from clarity.bench import network as nets
from clarity.bench.imaging import usual_image, usual_tensor
from clarity.bench.online import alone
from clarity.bench.online.caller import Caller, upload
from clarity.bench.online.calling import median, percentile
from clarity.bench.online.place import Place
from clarity.bench.online.plan import Plan
from clarity.bench.online.server import Server
from clarity.bench.rows import Row
from clarity.errors import InferenceError
from clarity.inference.bundle import Bundle
from clarity.inference.engine import Engine
from clarity.inference.grader import Grader

OVERHEAD_MS, PEER = 15.0, 6.0
_EQUAL, _GREY = 1e-3, 1.0
"""Of probabilities; mean grey levels of a heatmap's picture, which cubic or linear growing may round otherwise."""
_SETTLE_S = 0.03
"""Between two calls: threads of the one side that still look for work would slow the other."""
_WARM = 5


def rows(place: Place, ours: Server, usual: Server, plan: Plan) -> list[Row]:
    """``serving.overhead_ms`` and ``serving.peer``: HTTP, the library in this process and the peer take turns.

    Raises InferenceError where the service says other than the library, or the peer other than the same network says
    of what the peer prepared.
    """
    photograph, bundle = place.photographs[0], place.versions[0][1]
    request, theirs = (
        upload(ours.address, [photograph], key=place.key),
        upload(usual.address, [photograph], path="/predict"),
    )
    grader = Grader(bundle, Engine.load(bundle), place.versions[0][0].version)
    with grader, Caller(ours.address) as caller, Caller(usual.address) as peer:
        _check(answer(caller, request), grader, photograph)
        check_peer(answer(peer, theirs), bundle, photograph)
        sides: dict[str, Callable[[], object]] = {
            "http": lambda: answer(caller, request),
            "own": lambda: alone.one(grader, photograph),
            "peer": lambda: answer(peer, theirs),
        }
        times, said = _turns(sides, plan)
    return [_overhead(times, said, grader), _peer(times)]


def answer(caller: Caller, request: bytes) -> bytes:
    """The body of a 200. Raises InferenceError for another."""
    said = caller.call(request)
    if said.status != 200:
        raise InferenceError(f"port {caller.address[1]}: answered {said.status}, {said.body[:200]!r}")
    return said.body


def _turns(sides: dict[str, Callable[[], object]], plan: Plan) -> tuple[dict[str, list[float]], list[dict[str, Any]]]:
    """Sorted milliseconds of each side, and the service's answers; the peer has fewer turns, evenly spread."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    bodies: list[bytes] = []
    every = max(1, plan.calls // plan.peer_calls)
    for turn in range(-_WARM, plan.calls):
        for name, side in sides.items():
            if name == "peer" and turn % every:
                continue
            time.sleep(_SETTLE_S)
            began = time.perf_counter()
            found = side()
            if turn >= 0:
                times[name].append(1000 * (time.perf_counter() - began))
                bodies += [found] if name == "http" else []  # type: ignore[list-item]
    return {name: sorted(values) for name, values in times.items()}, [json.loads(body) for body in bodies]


def _overhead(times: dict[str, list[float]], said: list[dict[str, Any]], grader: Grader) -> Row:
    http, own = median(times["http"]), median(times["own"])
    steps = {f"{step}_ms": median([one["timing_ms"][step] for one in said]) for step in ("queue", "grade", "heatmap")}
    detail: dict[str, float | str] = {
        "http_p50_ms": http,
        "http_p99_ms": percentile(times["http"], 0.99),
        "own_p50_ms": own,
        **steps,
        "calls": str(len(times["http"])),
        "precision": grader.engine.precision,
    }
    return Row("serving.overhead_ms", http - own, "ms", OVERHEAD_MS, more_is_better=False, detail=detail)


def _peer(times: dict[str, list[float]]) -> Row:
    ours, theirs = median(times["http"]), median(times["peer"])
    detail: dict[str, float | str] = {
        "ours_p50_ms": ours,
        "ours_p99_ms": percentile(times["http"], 0.99),
        "peer_p50_ms": theirs,
        "peer_p99_ms": percentile(times["peer"], 0.99),
        "peer_calls": str(len(times["peer"])),
    }
    return Row("serving.peer", theirs / ours, "x", PEER, detail=detail)


def _check(body: bytes, grader: Grader, photograph: bytes) -> None:
    """The service answers what the library says, the picture byte for byte."""
    graded, drawn = alone.one(grader, photograph)
    said, prediction = json.loads(body), graded.prediction
    if prediction is None or (said["grade"], said["model_version"]) != (prediction.grade, grader.model_version):
        raise InferenceError(f"service: grade {said['grade']} of {said['model_version']}, the library says otherwise")
    apart = np.abs(np.subtract(said["probabilities"], prediction.probabilities)).max()
    if apart > _EQUAL or base64.b64decode(said["heatmap"]["data"]) != drawn.data:
        raise InferenceError(f"service: probabilities {apart:.2g} from the library's, or another heatmap")


def check_peer(body: bytes, bundle: Bundle, photograph: bytes) -> None:
    """The peer answers what our fp32 form says of the peer's own preparation, and draws the same map.

    Raises InferenceError where it does not.
    """
    from clarity.bench.peer import picture

    image, said = usual_image(photograph), json.loads(body)
    tensor = usual_tensor(image)
    engine = Engine.load(bundle, precision="fp32")
    logits = engine.run(tensor).logits[0].astype(np.float64)
    wanted = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    drawn = [
        _pixels(data)
        for data in (picture(image, nets.ours(engine)(tensor)[0]), base64.b64decode(said["heatmap"]["data"]))
    ]
    apart, grey = np.abs(wanted - said["probabilities"]).max(), np.abs(np.subtract(*drawn)).mean()
    if apart > _EQUAL or grey > _GREY:
        raise InferenceError(
            f"peer: probabilities {apart:.2g} and heatmap {grey:.2g} grey levels from the same network's"
        )


def _pixels(png: bytes) -> "np.ndarray[Any, np.dtype[np.float32]]":
    read = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(read, np.float32)
