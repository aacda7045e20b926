"""Mend what dead nights and mishaps left: the object store and the rows are brought to say the same again.

Store and tables are read side by side in the order of the photographs' sha256, so memory is flat whatever their number.
Called by the holder of the night's lock, after the inbox was taken in.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import TypeVar

import cv2
import numpy as np
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from clarity.errors import ClarityError, ObjectMissing
from clarity.inference import heatmap
from clarity.inference.grader import Grader
from clarity.records import Capture
from clarity.screening.ahead import together
from clarity.storage import database, keys, leases, lock, quarantine, runs, scans, tables
from clarity.storage.objects import Objects
from clarity.storage.quarantine import Refused
from clarity.storage.scans import ScoredBy, Settled

_SWEPT = 100
"""Orphans that are deleted while those who keep photographs wait."""
Left = TypeVar("Left")
Right = TypeVar("Right")


@dataclass(frozen=True, slots=True)
class Redrawing:
    """How a lost overlay is drawn again: as its night drew it."""

    grader_of: Callable[[ScoredBy], Grader]
    """Gives the grader of a model version that once scored. Raises ClarityError where it is gone."""
    size: int | None
    """Pixels."""


@dataclass(slots=True)
class Repaired:
    """What was found and mended, and what could not be."""

    runs_closed: int = 0
    leases_ended: int = 0
    overlays_removed: int = 0
    """Objects that no prediction points at."""
    overlays_made: int = 0
    """Of predictions whose overlay was gone or did not open."""
    photographs_without_scan: int = 0
    """Put into quarantine, for a person."""
    scans_without_photograph: int = 0
    """Put into quarantine."""
    failures: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """Everything that was counted, by name."""
        return {name: value for name, value in asdict(self).items() if isinstance(value, int)}


def repair(engine: Engine, objects: Objects, redrawing: Redrawing) -> Repaired:
    """Close dead runs and leases, remove orphans, make lost overlays again, show what lost its other half.

    What cannot be mended is a sentence in ``failures``, and costs itself alone. Raises StorageError.
    """
    done = Repaired()
    with database.session(engine) as session:
        done.runs_closed = runs.close_dead(session)
        leases.expire_others(session, "")
        done.leases_ended = leases.remove_finished(session)
    _photographs(engine, objects, done)
    for by in _versions(engine):
        _overlays(engine, objects, by, redrawing, done)
    return done


def _photographs(engine: Engine, objects: Objects, done: Repaired) -> None:
    lost: list[Refused] = []
    gone: list[Settled] = []
    stored = ((_sha(entry.key), entry.key) for entry in objects.list("captures/"))
    with database.session(engine) as session:
        known = _rows(session, select(tables.Scan.sha256, tables.Scan.state).order_by(tables.Scan.sha256))
        for sha, key, state in side_by_side(stored, known):
            if state is None and key is not None:
                reason = "photograph without a scan: a run died over it, and the inbox no longer has it"
                lost.append(Refused(key, reason, sha256=sha, kind="object"))
            elif key is None and state not in (None, "quarantined"):
                gone.append(Settled(sha, "quarantined", ("photograph: gone from the object store",)))
    with database.session(engine) as session:
        # while store and tables were read, somebody may have kept a photograph whose patient waits for the answer
        lock.sweeping(session)
        known_now = scans.known(session, [one.sha256 for one in lost if one.sha256])
        lost = [one for one in lost if one.sha256 not in known_now]
        there = {one.sha256: one.key for one in scans.captures(session, [one.sha256 for one in gone])}
        gone = [one for one in gone if not objects.exists(there[one.sha256])]
        quarantine.note(session, lost, None)
        scans.settle(session, gone, None)
    done.photographs_without_scan, done.scans_without_photograph = len(lost), len(gone)


def _versions(engine: Engine) -> list[ScoredBy]:
    table = tables.Prediction
    with database.session(engine) as session:
        found = session.execute(select(table.model, table.model_version, table.fingerprint).distinct())
        return [ScoredBy(*row) for row in found]


def _overlays(engine: Engine, objects: Objects, by: ScoredBy, redrawing: Redrawing, done: Repaired) -> None:
    prefix = keys.heatmap_key(by.model, by.version, "").removesuffix(".png")
    table, run = tables.Prediction, tables.ScreeningRun
    said = (table.model == by.model, table.model_version == by.version, table.fingerprint == by.fingerprint)
    doubtful = select(run.id).where(run.id == table.run_id, run.status != "completed").exists()
    chosen = select(table.sha256, doubtful.label("doubtful")).where(*said).order_by(table.sha256)
    stored = ((_sha(entry.key), entry.key) for entry in objects.list(prefix))
    lost: list[str] = []
    orphans: dict[str, str] = {}
    with database.session(engine) as session:
        for sha, key, doubt in side_by_side(stored, _rows(session, chosen)):
            if doubt is None and key is not None:
                orphans[sha] = key
            elif key is None or (doubt and not opens(objects, key)):
                lost.append(sha)
    for some in together(orphans.items(), _SWEPT):
        done.overlays_removed += _sweep(engine, objects, by, dict(some))
    _make_again(engine, objects, by, lost, redrawing, done)


def _sweep(engine: Engine, objects: Objects, by: ScoredBy, orphans: dict[str, str]) -> int:
    """Delete these overlays (key by sha256), except those that have got their prediction by now."""
    table = tables.Prediction
    of_version = (table.model == by.model, table.model_version == by.version)
    with database.session(engine) as session:
        lock.sweeping(session)
        said = set(session.scalars(select(table.sha256).where(table.sha256.in_(orphans), *of_version)))
        left = [key for sha, key in orphans.items() if sha not in said]
        for key in left:
            objects.delete(key)
    return len(left)


def _make_again(
    engine: Engine, objects: Objects, by: ScoredBy, shas: list[str], redrawing: Redrawing, done: Repaired
) -> None:
    with database.session(engine) as session:
        captures = scans.captures(session, shas)
    for capture in captures:
        try:
            _put_overlay(redrawing, objects, by, capture)
            done.overlays_made += 1
        except ClarityError as error:
            done.failures.append(f"overlay of {capture.sha256[:12]}… by {by.model} {by.version}: {error}")


def _put_overlay(redrawing: Redrawing, objects: Objects, by: ScoredBy, capture: Capture) -> None:
    (graded,) = redrawing.grader_of(by).grade([objects.get(capture.key)])
    if isinstance(graded, ClarityError):
        raise graded
    picture = graded.overlay(redrawing.size)
    if picture is None:
        raise ObjectMissing("no overlay comes of it any more")
    overlay = heatmap.encode(picture, maps=graded.maps)
    objects.put(keys.heatmap_key(by.model, by.version, capture.sha256), overlay, "image/png")


def opens(objects: Objects, key: str) -> bool:
    """Whether an overlay can be fetched and decoded. Raises StorageError."""
    try:
        data = np.frombuffer(objects.get(key), np.uint8)
    except ObjectMissing:
        return False
    return data.size > 0 and cv2.imdecode(data, cv2.IMREAD_COLOR) is not None


def side_by_side(
    left: Iterator[tuple[str, Left]], right: Iterator[tuple[str, Right]]
) -> Iterator[tuple[str, Left | None, Right | None]]:
    """Two sequences in the order of their names, joined by name: each name once, None where a side lacks it."""
    a, b = next(left, None), next(right, None)
    while a is not None or b is not None:
        if b is None or (a is not None and a[0] < b[0]):
            assert a is not None  # noqa: S101  for mypy: one of the two is there
            yield a[0], a[1], None
            a = next(left, None)
        elif a is None or b[0] < a[0]:
            yield b[0], None, b[1]
            b = next(right, None)
        else:
            yield a[0], a[1], b[1]
            a, b = next(left, None), next(right, None)


def _rows(session: Session, chosen: object) -> Iterator[tuple[str, object]]:
    for row in session.execute(chosen, execution_options={"yield_per": 1000}):  # type: ignore[call-overload]
        yield row[0], row[1]


def _sha(key: str) -> str:
    return key.rpartition("/")[2].partition(".")[0]
