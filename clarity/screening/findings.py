"""Fetch, grade, draw, store: a chunk of captures becomes findings, each step overlapping the next.

Each core takes a few photographs from bytes to encoded overlays by itself, so no more threads compute than there are
cores; the transfers wait on the network in threads of their own.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain

from clarity.errors import ClarityError, InferenceError, ObjectMissing, StorageError, StorageUnavailable
from clarity.imaging.threads import calling_thread_alone
from clarity.inference import heatmap
from clarity.inference.grader import Graded, Grader
from clarity.records import Capture
from clarity.screening.ahead import ahead, dwindling
from clarity.storage import keys
from clarity.storage.objects import Objects
from clarity.storage.results import Finding
from clarity.storage.scans import ScoredBy

_PARALLEL = 8
"""Transfers in one direction, to or from the object store, at once."""
_TOGETHER = 4
"""Photographs that a core takes through the network at once: more are hardly faster, and wait longer for each other."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A capture that could not be graded, by no fault of its photograph."""

    sha256: str
    error: ClarityError


def find(
    grader: Grader, objects: Objects, captures: Sequence[Capture], by: ScoredBy, overlay_size: int | None
) -> Iterator[Finding | Failed]:
    """What was found of each capture, in their order; the overlay of a scored one is in the store by then.

    Raises StorageUnavailable where the store is away.
    """

    def load(capture: Capture) -> tuple[Capture, bytes | StorageError]:
        return capture, _load(objects, capture)

    def grade(group: list[tuple[Capture, bytes | StorageError]]) -> list[_Drawn]:
        results_of = _grade(grader, [data for _, data in group])
        return [_draw(capture, graded, overlay_size) for (capture, _), graded in zip(group, results_of, strict=True)]

    with (
        calling_thread_alone(),
        ThreadPoolExecutor(_PARALLEL, thread_name_prefix="fetch") as fetch,
        ThreadPoolExecutor(grader.lanes, thread_name_prefix="grade") as work,
        ThreadPoolExecutor(_PARALLEL, thread_name_prefix="store") as store,
    ):
        loaded = ahead(fetch, load, captures, limit=_TOGETHER * (grader.lanes + 2))
        groups = dwindling(loaded, len(captures), _TOGETHER, grader.lanes)
        graded = ahead(work, grade, groups, limit=grader.lanes + 1)
        drawn = chain.from_iterable(graded)
        yield from ahead(store, lambda one: _store(objects, one, by), drawn, limit=2 * _PARALLEL)


def _load(objects: Objects, capture: Capture) -> bytes | StorageError:
    """The photograph, or why this one alone cannot be had; where the whole store is away, that is raised."""
    try:
        return objects.get(capture.key)
    except StorageUnavailable:
        raise
    except StorageError as error:
        return error


def _grade(grader: Grader, loaded: Sequence[bytes | StorageError]) -> list[Graded | ClarityError]:
    results_of = iter(grader.grade_here([data for data in loaded if isinstance(data, bytes)]))
    return [next(results_of) if isinstance(data, bytes) else data for data in loaded]


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A capture's result with its overlay, encoded; no pixels, so that few bytes wait to be stored."""

    finding: Finding | Failed
    overlay: bytes | None = None


def _draw(capture: Capture, graded: Graded | ClarityError, overlay_size: int | None) -> _Drawn:
    """What becomes of one capture; a fault of the engine or of the store is not the photograph's."""
    if isinstance(graded, InferenceError) or (
        isinstance(graded, StorageError) and not isinstance(graded, ObjectMissing)
    ):
        return _Drawn(Failed(capture.sha256, graded))
    if isinstance(graded, ClarityError):
        return _Drawn(Finding(capture.sha256, "quarantined", (str(graded),)))
    picture = graded.overlay(overlay_size)
    if graded.prediction is None or picture is None:
        return _Drawn(Finding(capture.sha256, "ungradable", graded.quality.reasons, graded.quality.score))
    finding = Finding(capture.sha256, "scored", (), graded.quality.score, graded.prediction)
    return _Drawn(finding, heatmap.encode(picture, maps=graded.maps))


def _store(objects: Objects, drawn: _Drawn, by: ScoredBy) -> Finding | Failed:
    if drawn.overlay is None or isinstance(drawn.finding, Failed):
        return drawn.finding
    key = keys.heatmap_key(by.model, by.version, drawn.finding.sha256)
    objects.put(key, drawn.overlay, "image/png")
    return replace(drawn.finding, heatmap_key=key)
