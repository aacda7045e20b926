"""What must hold after every fault, read from PostgreSQL and the object store themselves."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import func, select

from clarity.drill.captures import Expected, Round, expected_of
from clarity.drill.place import Place
from clarity.screening.repair import opens
from clarity.storage import database, results
from clarity.storage.tables import InboxObject, Lease, Outcome, Prediction, Quarantined, Scan, ScreeningRun

Ending = tuple[str, tuple[str, ...], tuple[tuple[int, tuple[float, ...]], ...]]
"""State, reasons, and (grade, rounded probabilities) of each prediction."""
FINAL = ("scored", "ungradable", "quarantined")


@dataclass(slots=True)
class Truth:
    """How each kind of photograph ended in the first, undisturbed night: the same pixels may end in no other way."""

    endings: dict[str, Ending] = field(default_factory=dict)


def broken(place: Place, rounds: Sequence[Round], truth: Truth) -> list[str]:
    """What does not hold, a sentence each; empty where all is well. Learns ``truth`` from what it has not seen yet."""
    expected = expected_of(rounds)
    return [
        *_captures(place, expected, truth),
        *_objects(place),
        *_inbox(place, rounds),
        *_leftovers(place),
        *_reports(place),
    ]


def _captures(place: Place, expected: Sequence[Expected], truth: Truth) -> list[str]:
    endings = _endings(place)
    wrong = [f"{sha[:12]}: a scan that nobody delivered" for sha in endings.keys() - {one.sha256 for one in expected}]
    for one in expected:
        said = f"{one.kind} {one.sha256[:12]}"
        ending = endings.get(one.sha256)
        if ending is None:
            wrong.append(f"{said}: lost, no scan")
            continue
        state, _, predictions = ending
        if state not in FINAL:
            wrong.append(f"{said}: {state}, not a final state")
        elif len(predictions) != (1 if state == "scored" else 0):
            wrong.append(f"{said}: {state} with {len(predictions)} predictions")
        elif truth.endings.setdefault(one.kind, ending) != ending:
            wrong.append(f"{said}: ended as {ending}, undisturbed as {truth.endings[one.kind]}")
    return wrong


def _endings(place: Place) -> dict[str, Ending]:
    told: dict[str, list[tuple[int, tuple[float, ...]]]] = {}
    with database.session(place.engine) as session:
        for sha, grade, p in session.execute(select(Prediction.sha256, Prediction.grade, Prediction.probabilities)):
            told.setdefault(sha, []).append((grade, tuple(round(value, 3) for value in p)))
        rows = session.execute(select(Scan.sha256, Scan.state, Scan.reasons)).all()
    return {sha: (state, tuple(reasons), tuple(told.get(sha, ()))) for sha, state, reasons in rows}


def _objects(place: Place) -> list[str]:
    """Every prediction has one overlay that opens, every scan its photograph, and nothing else lies there."""
    with database.session(place.engine) as session:
        overlays = set(session.scalars(select(Prediction.heatmap_key)))
        photographs = set(session.scalars(select(Scan.key)))
    stored = {entry.key for entry in place.objects.list("heatmaps/")}
    kept = {entry.key for entry in place.objects.list("captures/")}
    return [
        *(f"{key}: an overlay without a prediction" for key in stored - overlays),
        *(f"{key}: an overlay that does not open" for key in overlays if not opens(place.objects, key)),
        *(f"{key}: a photograph without a scan" for key in kept - photographs),
        *(f"{key}: a scan without its photograph" for key in photographs - kept),
    ]


def _inbox(place: Place, rounds: Sequence[Round]) -> list[str]:
    """Every object of the inbox is a scan or in quarantine, and in quarantine are those that have to be."""
    with database.session(place.engine) as session:
        taken = set(session.scalars(select(InboxObject.key)))
        refused = set(session.scalars(select(Quarantined.key).where(Quarantined.resolved_at.is_(None))))
    due = {key for one in rounds for key in one.quarantined}
    lying = {entry.key for entry in place.objects.list("inbox/") if not entry.key.endswith(".json")}
    return [
        *(f"{key}: neither a scan nor in quarantine" for key in lying - taken - refused),
        *(f"{key}: not in quarantine" for key in due - refused),
        *(f"{key}: in quarantine and a scan" for key in due & taken),
    ]


def _leftovers(place: Place) -> list[str]:
    with database.session(place.engine) as session:
        leases = session.scalar(select(func.count()).select_from(Lease)) or 0
        running = session.scalar(select(func.count()).where(ScreeningRun.status == "running")) or 0
        owing = select(Scan.patient_id, Scan.visit).distinct()
        joined = select(Outcome.patient_id, Outcome.visit)
        missing = session.execute(owing.except_(joined)).all()
    wrong = [f"{leases} leases left"] if leases else []
    wrong += [f"{running} runs that never ended"] if running else []
    return wrong + [f"visit {visit} of patient row {patient}: no outcome" for patient, visit in missing]


def _reports(place: Place) -> list[str]:
    """The runs' own counts are those of the rows that they left, and the last run's report lies in the store."""
    wrong = []
    with database.session(place.engine) as session:
        runs = session.scalars(select(ScreeningRun).order_by(ScreeningRun.started_at)).all()
        tallies = {run.id: results.tally_of_run(session, run.id) for run in runs if run.counts}
        total = session.scalar(select(func.count()).select_from(Prediction)) or 0
        by_run = Counter(session.scalars(select(Prediction.run_id)))
    for run in runs:
        for name in ("registered", "scored", "ungradable"):
            if run.counts and run.counts[name] != tallies[run.id][name]:
                wrong.append(f"run {run.id}: says {run.counts[name]} {name}, left {tallies[run.id][name]}")
    if sum(by_run.values()) != total or None in by_run:
        wrong.append("predictions that no run wrote")
    if runs and not place.objects.exists(f"reports/{runs[-1].id}/summary.json"):
        wrong.append(f"run {runs[-1].id}: no report")
    return wrong
