"""Visits in a real PostgreSQL, without photographs: captures, what models and people say of them, what follows."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine, select

from clarity.records import Capture, Eye
from clarity.screening import outcome, policy, review
from clarity.screening.policy import Policy
from clarity.storage import database, results, reviews, scans, tables
from clarity.storage.scans import ScoredBy

POLICIES = Path(__file__).resolve().parents[2] / policy.FOLDER
ADA = policy.load(POLICIES, "ada")
V1, V2 = (ScoredBy("clarity-dr", version, "f" * 16) for version in ("1", "2"))
NINE = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


@dataclass
class Clinic:
    """Its steps are the library's; only the grades are made up."""

    engine: Engine

    def scan(
        self,
        patient: str = "P1",
        eye: str = "left",
        *,
        visit: str = "v1",
        field: str = "macula",
        state: str = "scored",
        reasons: Sequence[str] = (),
        captured_at: datetime | None = NINE,
    ) -> str:
        """Register a capture and give it a state; its sha256."""
        sha = hashlib.sha256(f"{patient}|{eye}|{visit}|{field}|{captured_at}".encode()).hexdigest()
        with database.session(self.engine) as session:
            capture = Capture(sha, f"captures/{sha[:2]}/{sha}.jpg", patient, Eye(eye), visit, field, captured_at)
            assert scans.register(session, [capture]) == [None]
            row = session.scalars(select(tables.Scan).where(tables.Scan.sha256 == sha)).one()
            row.state, row.reasons = state, list(reasons)
        return sha

    def say(
        self,
        sha: str,
        grade: int,
        by: ScoredBy = V1,
        *why: str,
        referable: bool | None = None,
        threatening: bool | None = None,
    ) -> str:
        """A model version's prediction of a capture."""
        referable = grade >= 2 if referable is None else referable
        threatening = grade >= 3 if threatening is None else threatening
        with database.session(self.engine) as session:
            session.add(
                tables.Prediction(
                    sha256=sha,
                    model=by.model,
                    model_version=by.version,
                    fingerprint=by.fingerprint,
                    grade=grade,
                    probabilities=[float(grade == one) for one in range(5)],
                    confidence=1.0,
                    referable=referable,
                    referable_probability=float(referable),
                    vision_threatening=threatening,
                    vision_threatening_probability=float(threatening),
                    review_reasons=list(why),
                    heatmap_key=f"heatmaps/{by.model}-{by.version}/{sha}.png",
                )
            )
        return sha

    def seen(self, eye: str, grade: int, *why: str, patient: str = "P1", visit: str = "v1", by: ScoredBy = V1) -> str:
        """A capture and its prediction."""
        return self.say(self.scan(patient, eye, visit=visit), grade, by, *why)

    def join(self, shas: Sequence[str], by: ScoredBy = V1, rule: Policy = ADA, run: str | None = None) -> None:
        """What a batch does after it wrote its predictions."""
        with database.session(self.engine) as session:
            visits = results.lock_visits(session, shas)
            seen = results.scan_results(session, list(visits), by)
            joined = {visit: outcome.join(patient, visit[1], seen[visit], rule) for visit, patient in visits.items()}
            results.save_outcomes(session, joined, by, run)

    def review(
        self, sha: str, decision: str, grade: int | None = None, *, reviewer: str = "dr-1", rule: Policy = ADA
    ) -> review.Decided:
        with database.session(self.engine) as session:
            return review.decide(session, reviews.Review(sha, decision, reviewer, grade), rule)

    def outcomes(self, patient: str = "P1", visit: str = "v1") -> dict[str, tables.Outcome]:
        """By model version."""
        with database.session(self.engine) as session:
            found = session.scalars(
                select(tables.Outcome)
                .join(tables.Patient)
                .where(tables.Patient.external_id == patient, tables.Outcome.visit == visit)
                .order_by(tables.Outcome.id)
            )
            return {row.model_version: row for row in found}

    def only(self, patient: str = "P1", visit: str = "v1") -> tables.Outcome:
        (row,) = self.outcomes(patient, visit).values()
        return row
