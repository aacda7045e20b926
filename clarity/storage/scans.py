"""Patients and scans: which photographs are known, whose they are, and which wait for a model."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, cast

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Select,
    Text,
    and_,
    bindparam,
    func,
    literal,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from clarity.errors import AnotherEye, AnotherPatient, AnotherVisit, InboxConflict
from clarity.records import Capture, Eye
from clarity.storage.tables import InboxObject, Patient, Prediction, Scan

Visit = tuple[int, str]
"""(id of the patient's row, the visit's name)."""


@dataclass(frozen=True, slots=True)
class ScoredBy:
    """Which model version, with which imaging chain: with a photograph's sha256, the identity of a prediction."""

    model: str
    version: str
    fingerprint: str


def register(session: Session, captures: Sequence[Capture], run_id: str | None = None) -> list[InboxConflict | None]:
    """Make patients and scans; for each capture None, or the conflict with what is known of its bytes.

    The same photograph again is the same scan. Another patient, eye or visit for a known photograph is a conflict for
    a person, and changes nothing. Two writers at once end with one row.
    """
    known = _known(session, [capture.sha256 for capture in captures])
    new = {capture.sha256: capture for capture in reversed(captures) if capture.sha256 not in known}
    if new:  # a claim that is refused makes no patient
        ids = _patients(session, {capture.patient for capture in new.values()})
        rows = [_row(capture, ids[capture.patient], run_id) for _, capture in sorted(new.items())]
        session.execute(insert(Scan).on_conflict_do_nothing(index_elements=["sha256"]), rows)
        known |= _known(session, list(new))
    return [conflict(capture, known[capture.sha256]) for capture in captures]


def mark_inbox(session: Session, objects: Iterable[tuple[str, str, str]]) -> None:
    """Note inbox objects (key, etag, sha256) as registered, so that they are not read again."""
    rows = [{"key": key, "etag": etag, "sha256": sha} for key, etag, sha in sorted(objects)]
    if rows:
        session.execute(insert(InboxObject).on_conflict_do_nothing(), rows)


def known_inbox(session: Session, objects: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    """Which of these inbox objects (key, etag) have become scans."""
    if not objects:
        return set()
    found = session.execute(
        select(InboxObject.key, InboxObject.etag).where(tuple_(InboxObject.key, InboxObject.etag).in_(objects))
    )
    return {(row.key, row.etag) for row in found}


@dataclass(frozen=True, slots=True)
class Settled:
    """What a scan came to."""

    sha256: str
    state: str
    reasons: tuple[str, ...] = ()
    quality: float | None = None


def known(session: Session, shas: Sequence[str]) -> set[str]:
    """Which of these photographs are scans."""
    return set(session.scalars(select(Scan.sha256).where(Scan.sha256.in_(list(shas))))) if shas else set()


def waiting_visits(session: Session, *, after: Visit | None = None, limit: int = 200) -> list[Visit]:
    """Visits with a capture that waits for a model, in a fixed order, a page at a time; reads an index only."""
    return _visits(session, Scan.state == "registered", after, limit)


def visits_before(session: Session, by: ScoredBy, *, after: Visit | None = None, limit: int = 200) -> list[Visit]:
    """Visits with a capture that some model version scored and this one did not, in the same way."""
    return _visits(session, and_(Scan.state == "scored", ~said(by).exists()), after, limit)


def _visits(session: Session, which: ColumnElement[bool], after: Visit | None, limit: int) -> list[Visit]:
    chosen = select(Scan.patient_id, Scan.visit).where(which)
    if after is not None:
        chosen = chosen.where(tuple_(Scan.patient_id, Scan.visit) > after)
    found = session.execute(chosen.distinct().order_by(Scan.patient_id, Scan.visit).limit(limit))
    return [(row.patient_id, row.visit) for row in found]


def unscored(session: Session, visits: Sequence[Visit], by: ScoredBy) -> list[list[str]]:
    """sha256 of the captures of these visits that this model version has not scored, a list a visit, in their order.

    One that waits is scored also where this version did so before: a person moved it, or another of its visit, to
    another patient, and the outcome is to be joined again. The whole visit is scored by one model version, also where
    some of it was scored by an earlier one. Kept in one
    chunk it is written in one transaction: otherwise ``waiting_visits`` might lose sight of it when half is done. Those
    that wait come last, for where a chunk cannot be kept whole.
    """
    # as a table of two parameters: of hundreds of pairs in a list each becomes a condition that is planned by itself
    ids = literal([patient for patient, _ in visits], ARRAY(BigInteger))
    names = literal([visit for _, visit in visits], ARRAY(Text))
    asked = func.unnest(ids, names).table_valued("patient_id", "visit").render_derived(name="asked")
    chosen = (
        select(Scan.patient_id, Scan.visit, Scan.sha256)
        .join(asked, and_(Scan.patient_id == asked.c.patient_id, Scan.visit == asked.c.visit))
        .where(to_score(by))
    )
    order = (Scan.patient_id, Scan.visit, Scan.state.desc(), Scan.sha256)  # "scored" before "registered"
    found: dict[Visit, list[str]] = {}
    for row in session.execute(chosen.order_by(*order)):
        found.setdefault((row.patient_id, row.visit), []).append(row.sha256)
    return list(found.values())


def captures(session: Session, shas: Sequence[str]) -> list[Capture]:
    """The captures of these photographs, in their order; unknown ones are left out."""
    rows = session.execute(select(Scan, Patient.external_id).join(Patient).where(Scan.sha256.in_(list(shas))))
    found = {scan.sha256: _capture(scan, patient) for scan, patient in rows}
    return [found[sha] for sha in shas if sha in found]


def settle(session: Session, states: Sequence[Settled], run_id: str | None) -> None:
    """Write the states of scans, and when and by which run they came to them; one round trip, whatever their number."""
    if not states:
        return
    rows = [
        {
            "photograph": one.sha256,
            "new_state": one.state,
            "why": list(one.reasons),
            "score": one.quality,
            "again": one.state == "ungradable",
            "run": run_id,
        }
        for one in sorted(states, key=lambda one: one.sha256)
    ]
    statement = (
        update(Scan.__table__)  # type: ignore[arg-type]  # the table, not the class: executemany without the ORM
        .where(Scan.sha256 == bindparam("photograph"))
        .values(
            state=bindparam("new_state"),
            reasons=bindparam("why", type_=Scan.__table__.c.reasons.type),
            quality=bindparam("score"),
            recapture=bindparam("again"),
            settled_by=bindparam("run"),
            state_at=func.now(),
        )
    )
    session.connection().execute(statement, rows)


def to_score(by: ScoredBy) -> ColumnElement[bool]:
    """Of scans: they wait, or other versions scored them and this one did not."""
    return or_(Scan.state == "registered", and_(Scan.state == "scored", ~said(by).exists()))


def said(by: ScoredBy) -> Select[tuple[int]]:
    """What this model version said of the scan at hand."""
    return select(Prediction.id).where(
        Prediction.sha256 == Scan.sha256,
        Prediction.model == by.model,
        Prediction.model_version == by.version,
        Prediction.fingerprint == by.fingerprint,
    )


class Registered(Protocol):
    """Whose a known photograph is."""

    @property
    def patient(self) -> str: ...
    @property
    def eye(self) -> str: ...
    @property
    def visit(self) -> str: ...


def conflict(capture: Capture, known: Registered) -> InboxConflict | None:
    """The conflict between what is said of a photograph and whose it is; its sentence never says whose that is."""
    said = f"photograph {capture.sha256[:12]}…"
    if known.patient != capture.patient:
        return AnotherPatient(f"{said}: already registered for another patient, a person has to decide whose it is")
    if known.eye != capture.eye:
        return AnotherEye(f"{said}: already registered as the {known.eye} eye, now said to be the {capture.eye} eye")
    if known.visit != capture.visit:
        return AnotherVisit(f"{said}: already registered for visit {known.visit}, now said to be of {capture.visit}")
    return None


def _patients(session: Session, external_ids: set[str]) -> dict[str, int]:
    if not external_ids:
        return {}
    rows = [{"external_id": name} for name in sorted(external_ids)]  # one order everywhere: no deadlock
    session.execute(insert(Patient).on_conflict_do_nothing(index_elements=["external_id"]), rows)
    found = session.execute(select(Patient.external_id, Patient.id).where(Patient.external_id.in_(external_ids)))
    return {row.external_id: row.id for row in found}


def _row(capture: Capture, patient_id: int, run_id: str | None) -> dict[str, object]:
    return {
        "sha256": capture.sha256,
        "patient_id": patient_id,
        "key": capture.key,
        "eye": str(capture.eye),
        "field": capture.field,
        "visit": capture.visit,
        "visit_type": capture.visit_type,
        "captured_at": capture.captured_at,
        "camera": capture.camera,
        "registered_by": run_id,
    }


def _known(session: Session, shas: Sequence[str]) -> dict[str, Registered]:
    """Whose these photographs are, those that are scans."""
    if not shas:
        return {}
    found = session.execute(
        select(Scan.sha256, Patient.external_id.label("patient"), Scan.eye, Scan.visit)
        .join(Patient)
        .where(Scan.sha256.in_(list(shas)))
    )
    return {row.sha256: cast(Registered, row) for row in found}


def _capture(scan: Scan, patient: str) -> Capture:
    captured_at = scan.captured_at.astimezone(UTC) if isinstance(scan.captured_at, datetime) else None
    return Capture(
        scan.sha256,
        scan.key,
        patient,
        Eye(scan.eye),
        scan.visit,
        scan.field,
        captured_at,
        scan.visit_type,
        scan.camera,
    )
