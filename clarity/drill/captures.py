"""Captures for a drill: a handful of every kind that an inbox meets, new photographs each time, known ends."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from clarity.data.phantoms import draw
from clarity.data.phantoms.writing import encode
from clarity.records import Eye
from clarity.storage import keys
from clarity.storage.objects import Objects

_EYES = (Eye.LEFT, Eye.RIGHT)


@dataclass(frozen=True, slots=True)
class Expected:
    """What has to become of one photograph, by its kind."""

    sha256: str
    kind: str
    """"good 0" … "good 5", "blank", "broken": the same kind has the same pixels in every round."""


@dataclass(frozen=True, slots=True)
class Round:
    """One delivery: photographs that have to end as scans, and inbox keys that have to end in quarantine."""

    captures: tuple[Expected, ...]
    quarantined: tuple[str, ...]


class Supply:
    """Draws its photographs once and makes them new for each delivery by a comment in the JPEG."""

    def __init__(self, good: int = 4, size: int = 300) -> None:
        self._good = [encode(draw(seed, seed % 5, size=size, eye=_EYES[seed % 2]).image) for seed in range(good)]
        self._blank = cv2.imencode(".jpg", np.full((size, size, 3), 255, np.uint8))[1].tobytes()
        self._number = 0

    def deliver(self, objects: Objects) -> Round:
        """Two patients with both eyes, a blank, a broken and a foreign file, one nobody owns, one under two names."""
        self._number += 1
        n, expected = self._number, []
        for index, data in enumerate(self._good):
            photograph = _new(data, n)
            self._put(objects, f"{n}/{index}.jpg", photograph, patient=f"D{n}-{index // 2}", eye=_EYES[index % 2])
            expected.append(Expected(keys.sha256(photograph), f"good {index}"))
        blank = _new(self._blank, n)
        broken = _new(self._good[0], n, more=b"x")[: len(self._good[0]) // 2]
        for kind, data in (("blank", blank), ("broken", broken)):
            self._put(objects, f"{n}/{kind}.jpg", data, patient=f"D{n}-{kind}", eye=Eye.LEFT)
            expected.append(Expected(keys.sha256(data), kind))
        again = _new(self._good[0], n)
        self._put(objects, f"{n}/the same again.jpg", again, patient=f"D{n}-0", eye=_EYES[0])
        self._put(objects, f"{n}/somebody else's.jpg", again, patient=f"D{n}-other", eye=_EYES[0])
        objects.put(f"inbox/{n}/nobody's.jpg", _new(self._good[1], n, more=b"y"))
        refused = (f"inbox/{n}/nobody's.jpg", f"inbox/{n}/somebody else's.jpg")
        return Round(tuple(expected), refused)

    def _put(self, objects: Objects, name: str, data: bytes, *, patient: str, eye: Eye) -> None:
        said = {"patient": patient, "eye": eye, "visit": "drill", "captured_at": "2026-01-05T09:00:00Z"}
        objects.put(f"inbox/{name}.json", json.dumps(said).encode())
        objects.put(f"inbox/{name}", data)


def expected_of(rounds: Sequence[Round]) -> list[Expected]:
    """All photographs of several deliveries."""
    return [capture for one in rounds for capture in one.captures]


def _new(jpeg: bytes, number: int, more: bytes = b"") -> bytes:
    """The same pixels under other bytes: a comment segment after the start of the image."""
    text = b"drill %d " % number + more
    return jpeg[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + jpeg[2:]
