"""A photograph whose patient waits for the answer, kept as the night keeps one: objects first, then one transaction.

The transaction registers the scan, writes its prediction and joins its visit's outcome, by the night's own steps.
Again, it changes nothing. A night at work on the same photograph meanwhile harms neither: both lock the patient before
they write what is said of it, and what one finds written it leaves alone.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import Engine, select, tuple_
from sqlalchemy.orm import Session

from clarity.errors import AnotherEye, ClarityError, Erased, InboxConflict, InboxError, UnknownRecord
from clarity.records import Capture, Eye
from clarity.screening import claims, score, tags
from clarity.screening.policy import Policy
from clarity.storage import database, keys, lock, scans
from clarity.storage.objects import Objects
from clarity.storage.results import Finding
from clarity.storage.scans import ScoredBy
from clarity.storage.tables import Patient, Scan

_PARALLEL = 8
"""Objects on their way to the store at once, of one request."""


class Behind(ClarityError):
    """Captures of the visit that only another model version has judged: an outcome does not mix versions.

    Whoever keeps grades ``captures`` too, with the version of the new ones, and keeps them together.
    """

    def __init__(self, captures: Sequence[Capture]) -> None:
        super().__init__(f"visit: {len(captures)} captures that this model version has not judged")
        self.captures = tuple(captures)


@dataclass(frozen=True, slots=True)
class Sent:
    """A photograph and what its sender says of it. What is None, the scan that it is already says, or its file."""

    data: bytes
    eye: Eye | None = None
    visit: str | None = None
    field: str | None = None
    visit_type: str | None = None


@dataclass(frozen=True, slots=True)
class Graded:
    """A capture with what a model version found of it, and the bytes that are not in the store yet."""

    capture: Capture
    finding: Finding
    """Its heatmap key is set here."""
    photograph: bytes | None
    overlay: bytes | None


def admit(session: Session, patient: UUID, sent: Sequence[Sent], *, now: datetime) -> list[Capture | InboxConflict]:
    """The captures that these photographs would be, or why one of them cannot be this patient's. Changes nothing.

    The visit, where nobody names one, is the day on which the file says that it was taken, as for the night, and else
    today (UTC). Raises UnknownRecord, Erased.
    """
    return _admitted(session, _patient(session, patient), sent, now)


def keep(
    engine: Engine,
    objects: Objects,
    patient: UUID,
    graded: Sequence[Graded],
    *,
    by: ScoredBy,
    policy: Policy,
    first: Callable[[Session], None] | None = None,
) -> list[InboxConflict | None]:
    """Keep what was found, except what turns out not to be this patient's, or not so: the conflicts, in their order.

    On an error, no row is kept.

    ``first`` is called in the transaction before anything is written, for example to remember the request. Raises
    UnknownRecord, Erased, Behind, StorageError.
    """
    keyed = [_keyed(one, by) for one in graded]
    with database.session(engine) as session:
        lock.keeping(session)
        _patient(session, patient)
        _store(objects, keyed)
        if first is not None:
            first(session)
        _patient(session, patient, locked=True)
        said = scans.register(session, [one.capture for one in keyed])
        kept = [one for one, why in zip(keyed, said, strict=True) if why is None]
        _check_whole(session, kept, by)
        captures = [one.capture for one in kept]
        score.write(session, captures, [one.finding for one in kept], by=by, policy=policy, run_id=None)
    return said


def _patient(session: Session, uid: UUID, *, locked: bool = False) -> str:
    """The patient's pseudonymous id. Locked, so that nobody is erased or joined meanwhile; registering goes on."""
    chosen = select(Patient).where(Patient.uid == uid)
    options = {"populate_existing": True}
    found = session.scalar(chosen.with_for_update(key_share=True) if locked else chosen, execution_options=options)
    if found is None:
        raise UnknownRecord(f"patient {uid}: there is none of that id")
    if found.erased_at is not None:
        raise Erased(f"patient {uid}: erased, no photograph can be added")
    return found.external_id


def _admitted(session: Session, patient: str, sent: Sequence[Sent], now: datetime) -> list[Capture | InboxConflict]:
    shas = [keys.sha256(one.data) for one in sent]
    known = {capture.sha256: capture for capture in scans.captures(session, shas)}
    found: list[Capture | InboxConflict] = []
    for one, sha in zip(sent, shas, strict=True):
        try:
            found.append(_capture(one, sha, patient, known.get(sha), now))
        except InboxConflict as error:
            found.append(error)
    return found


def _capture(sent: Sent, sha: str, patient: str, known: Capture | None, now: datetime) -> Capture:
    """As the scan that it is, where it is one. Raises InboxConflict."""
    if known is not None:
        told = replace(known, patient=patient, eye=sent.eye or known.eye, visit=sent.visit or known.visit)
        why = scans.conflict(told, known)
        if why is not None:
            raise why
        return known
    own = tags.of(sent.data)
    eye, taken = _eye(own.get("eye", "")), _taken(own.get("captured_at", ""), now)
    if sent.eye and eye and sent.eye != eye:
        raise AnotherEye(f"photograph {sha[:12]}…: said to be the {sent.eye} eye, and its DICOM tags say {eye}")
    return Capture(
        sha,
        keys.capture_key(sha, keys.kind(sent.data)[0]),
        patient,
        sent.eye or eye or Eye.UNKNOWN,
        sent.visit or (taken or now).date().isoformat(),
        sent.field or "unknown",
        taken.astimezone(UTC) if taken else None,
        sent.visit_type or "screening",
        own.get("camera") or None,
    )


def _eye(said: str) -> Eye | None:
    try:
        return claims.eye(said)
    except InboxError:
        return None


def _taken(said: str, now: datetime) -> datetime | None:
    """When the file says that it was taken, in the zone as written; None where its clock says what cannot be."""
    try:
        return claims.time(said, now)
    except InboxError:
        return None


def _keyed(one: Graded, by: ScoredBy) -> Graded:
    if one.finding.prediction is None:
        return one
    return replace(
        one, finding=replace(one.finding, heatmap_key=keys.heatmap_key(by.model, by.version, one.capture.sha256))
    )


def _store(objects: Objects, graded: Sequence[Graded]) -> None:
    photographs = [(one.capture.key, one.photograph, keys.kind(one.photograph)[1]) for one in graded if one.photograph]
    overlays = [(one.finding.heatmap_key, one.overlay, "image/png") for one in graded if one.overlay]
    with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="keep") as pool:
        list(pool.map(lambda item: objects.put(*item), [*photographs, *overlays]))


def _check_whole(session: Session, kept: Sequence[Graded], by: ScoredBy) -> None:
    shas = [one.capture.sha256 for one in kept]
    visits = select(Scan.patient_id, Scan.visit).where(Scan.sha256.in_(shas))
    others = select(Scan.sha256).where(
        tuple_(Scan.patient_id, Scan.visit).in_(visits),
        Scan.sha256.not_in(shas),
        Scan.state == "scored",
        ~scans.said(by).exists(),
    )
    behind = list(session.scalars(others.order_by(Scan.sha256)))
    if behind:
        raise Behind(scans.captures(session, behind))
