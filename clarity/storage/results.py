"""Predictions and outcomes: idempotent writes, and what reports read. A prediction, once written, never changes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import and_, case, func, or_, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from clarity.records import Eye, Outcome, ScanResult
from clarity.records import Prediction as PredictionRecord
from clarity.storage import reviews, scans, standing, tables
from clarity.storage.scans import ScoredBy, Settled, Visit

_COMPARED = (
    *("result", "reasons", "worst_grade", "left_grade", "right_grade", "macular_oedema"),
    *("policy", "action", "not_derivable", "due_on", "priority"),
)
"""An outcome that differs in one of these is written again."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a batch found of one photograph: its final state, and its prediction where it was scored."""

    sha256: str
    state: str
    reasons: tuple[str, ...] = ()
    quality: float | None = None
    prediction: PredictionRecord | None = None
    heatmap_key: str | None = None


def save(
    session: Session, findings: Sequence[Finding], by: ScoredBy, run_id: str | None, *, settle: bool = True
) -> None:
    """Write predictions in one statement, absent ones only, and the states of their scans, unless they shall stay.

    A prediction's overlay has to be in the object store already: object first, row second.
    """
    rows = [_row(f, f.prediction, by, run_id) for f in findings if f.prediction is not None]
    if rows:
        identity = ["sha256", "model", "model_version", "fingerprint"]
        session.execute(insert(tables.Prediction).on_conflict_do_nothing(index_elements=identity), rows)
    if settle:
        scans.settle(session, [Settled(f.sha256, f.state, f.reasons, f.quality) for f in findings], run_id)


def lock_visits(session: Session, shas: Sequence[str]) -> dict[Visit, str]:
    """The visits of these photographs with their patient's external id; their patients' rows stay locked.

    So two batches with captures of one patient join that patient's outcome one after the other. Their keys stay free:
    who registers a scan of such a patient meanwhile does not wait.
    """
    owners = select(tables.Scan.patient_id).where(tables.Scan.sha256.in_(list(shas)))
    chosen = select(tables.Patient).where(tables.Patient.id.in_(owners)).order_by(tables.Patient.id)
    patients = chosen.with_for_update(key_share=True)
    names = {patient.id: patient.external_id for patient in session.scalars(patients)}
    visits = select(tables.Scan.patient_id, tables.Scan.visit).where(tables.Scan.sha256.in_(list(shas))).distinct()
    return {(row.patient_id, row.visit): names[row.patient_id] for row in session.execute(visits)}


def scan_results(session: Session, visits: Sequence[Visit], by: ScoredBy) -> dict[Visit, list[ScanResult]]:
    """All captures of these visits: what this model version says of them, or a person who saw what it says."""
    scan, prediction = tables.Scan, tables.Prediction
    said = (
        (prediction.sha256 == scan.sha256)
        & (prediction.model == by.model)
        & (prediction.model_version == by.version)
        & (prediction.fingerprint == by.fingerprint)
    )
    chosen = (
        select(scan, prediction)
        .outerjoin(prediction, said)
        .where(tuple_(scan.patient_id, scan.visit).in_(visits))
        .order_by(scan.sha256)
    )
    rows = session.execute(chosen).tuples().all() if visits else []
    decided = reviews.latest(session, [seen.sha256 for seen, _ in rows], by.model, by.version)
    found: dict[Visit, list[ScanResult]] = {visit: [] for visit in visits}
    for seen, told in rows:
        result = _scan_result(seen, told)
        decision = decided.get(seen.sha256)
        found[seen.patient_id, seen.visit].append(decision.on(result) if decision else result)
    return found


def save_outcomes(
    session: Session, outcomes: Mapping[Visit, Outcome], by: ScoredBy, run_id: str | None
) -> dict[str, int]:
    """Upsert outcomes; a row that says the same already is left alone. Counts written rows by result.

    Of several model versions' outcomes of a visit the one written last stands, once that version has scored all of
    the visit; the others are kept, superseded. A review stays with the outcome, and goes over to the next version's,
    as long as result, grades and priority are the same; else the visit is open again.
    """
    if not outcomes:
        return {}
    table = tables.Outcome
    rows = [_outcome_row(visit, outcome, by, run_id) for visit, outcome in sorted(outcomes.items())]
    statement = insert(table)  # without its rows: so it is the same, and compiled once, for every chunk
    new = statement.excluded
    same = [getattr(table, name).is_not_distinct_from(new[name]) for name in standing.REVIEWED]
    upsert = statement.on_conflict_do_update(
        index_elements=["patient_id", "visit", "model", "model_version"],
        set_={
            **{name: new[name] for name in _COMPARED},
            "run_id": new.run_id,
            "reviewed_at": case((and_(*same), table.reviewed_at), else_=None),
            "updated_at": func.now(),
        },
        where=or_(*(getattr(table, name).is_distinct_from(new[name]) for name in _COMPARED)),
    ).returning(table.patient_id, table.visit, table.result)
    written = session.execute(upsert, rows).tuples().all()
    standing.settle(session, [(patient, visit) for patient, visit, _ in written], by)
    counts: dict[str, int] = {}
    for _, _, result in written:
        counts[result] = counts.get(result, 0) + 1
    return counts


def tally_of_run(session: Session, run_id: str) -> dict[str, int]:
    """What a run registered, scored, refused as ungradable and put into quarantine, counted from the rows it left.

    A step that was done and whose answer was lost counts all the same.
    """
    scan, prediction, quarantined = tables.Scan, tables.Prediction, tables.Quarantined
    chosen = select(
        select(func.count()).where(scan.registered_by == run_id).scalar_subquery().label("registered"),
        select(func.count()).where(prediction.run_id == run_id).scalar_subquery().label("scored"),
        select(func.count())
        .where(scan.settled_by == run_id, scan.state == "ungradable")
        .scalar_subquery()
        .label("ungradable"),
        select(func.count())
        .where(quarantined.run_id == run_id, quarantined.resolved_at.is_(None))
        .scalar_subquery()
        .label("quarantined"),
    )
    return dict(session.execute(chosen).mappings().one())


def _row(finding: Finding, told: PredictionRecord, by: ScoredBy, run_id: str | None) -> dict[str, Any]:
    return {
        "sha256": finding.sha256,
        "model": by.model,
        "model_version": by.version,
        "fingerprint": by.fingerprint,
        "grade": told.grade,
        "probabilities": list(told.probabilities),
        "confidence": told.confidence,
        "referable": told.referable,
        "referable_probability": told.referable_probability,
        "vision_threatening": told.vision_threatening,
        "vision_threatening_probability": told.vision_threatening_probability,
        "review_reasons": list(told.review_reasons),
        "energy": told.energy,
        "precision": told.precision,
        "heatmap_key": finding.heatmap_key,
        "run_id": run_id,
    }


def _outcome_row(visit: Visit, outcome: Outcome, by: ScoredBy, run_id: str | None) -> dict[str, Any]:
    return {
        "patient_id": visit[0],
        "visit": visit[1],
        "model": by.model,
        "model_version": by.version,
        "result": outcome.result,
        "reasons": list(outcome.reasons),
        "worst_grade": outcome.worst_grade,
        "left_grade": outcome.left_grade,
        "right_grade": outcome.right_grade,
        "macular_oedema": outcome.macular_oedema,
        "policy": outcome.policy,
        "action": outcome.action,
        "not_derivable": list(outcome.not_derivable),
        "due_on": outcome.due_on,
        "priority": outcome.priority,
        "run_id": run_id,
    }


def _scan_result(seen: tables.Scan, told: tables.Prediction | None) -> ScanResult:
    known = ScanResult(
        Eye(seen.eye),
        seen.state,
        tuple(seen.reasons),
        captured_at=seen.captured_at,
        registered_at=seen.registered_at,
    )
    if told is None or seen.state != "scored":
        return known
    return replace(
        known,
        grade=told.grade,
        referable=told.referable,
        vision_threatening=told.vision_threatening,
        review_reasons=tuple(told.review_reasons),
    )
