"""What a night's tests share: an inbox that can be filled, and a night without an orchestrator."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import DeclarativeBase

from clarity.inference.grader import Grader
from clarity.records import Capture
from clarity.screening import inbox, policy, score
from clarity.screening.attribution import Attributions
from clarity.storage import database, quarantine, runs, scans, tables
from clarity.storage.objects import Objects
from clarity.storage.scans import ScoredBy

NOW = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
MAX_BYTES = 5_000_000
ADA = policy.load(Path(__file__).resolve().parents[2] / policy.FOLDER, "ada")


@dataclass
class Night:
    """The library's own steps in their order, as any orchestrator calls them."""

    engine: Engine
    objects: Objects
    grader: Grader
    by: ScoredBy = field(default_factory=lambda: ScoredBy("clarity-dr", "1", "f" * 16))

    def put(self, name: str, data: bytes, **sidecar: object) -> str:
        """An inbox object, with a sidecar where one is given."""
        key = f"inbox/{name}"
        self.objects.put(key, data)
        if sidecar:
            self.objects.put(f"{key}.json", json.dumps({"visit": "v1", **sidecar}).encode())
        return key

    def take_in(self, limit: int = 3, run_id: str | None = None, patterns: tuple[str, ...] = ()) -> inbox.Registered:
        registered = quarantined = 0
        after: str | None = ""
        while after is not None:
            found, after = inbox.waiting(self.objects, self.engine, "inbox/", after=after, limit=limit)
            done = inbox.register(
                self.objects,
                self.engine,
                found,
                Attributions(self.objects, now=NOW, patterns=patterns),
                max_bytes=MAX_BYTES,
                run_id=run_id,
            )
            registered, quarantined = registered + done.registered, quarantined + done.quarantined
        return inbox.Registered(registered, quarantined)

    def waiting(self) -> list[str]:
        with database.session(self.engine) as session:
            visits = scans.waiting_visits(session)
            by = self.by
            found = scans.unscored(session, visits, by) if visits else []
            return [sha for visit in found for sha in visit]

    def score(self, shas: list[str] | None = None, run_id: str = "night", **more: Any) -> score.Batch:
        chosen = self.waiting() if shas is None else shas
        self.start(run_id)
        work = score.Work(run_id, **({"chunk": "1", "overlay_size": 128} | more))
        return score.score_batch(self.grader, self.objects, self.engine, chosen, by=self.by, work=work, policy=ADA)

    def start(self, run_id: str) -> str:
        with database.session(self.engine) as session:
            runs.start(session, run_id, self.by)
        return run_id

    def count(self, table: type[DeclarativeBase]) -> int:
        with database.session(self.engine) as session:
            return session.scalar(select(func.count()).select_from(table)) or 0

    def counts(self) -> dict[str, int]:
        kinds = (tables.Patient, tables.Scan, tables.Prediction, tables.Outcome, tables.Quarantined)
        return {table.__tablename__: self.count(table) for table in kinds}

    def states(self) -> dict[str, int]:
        with database.session(self.engine) as session:
            counted = select(tables.Scan.state, func.count()).group_by(tables.Scan.state)
            return dict(session.execute(counted).all())

    def captures(self) -> dict[str, Capture]:
        """What is registered, by the key of its photograph."""
        with database.session(self.engine) as session:
            shas = session.scalars(select(tables.Scan.sha256)).all()
            return {capture.key: capture for capture in scans.captures(session, shas)}

    def open(self) -> dict[str, tables.Quarantined]:
        """What waits for a person, by key."""
        with database.session(self.engine) as session:
            return {row.key: row for row in quarantine.open_rows(session)}

    def reasons(self) -> dict[str, str]:
        with database.session(self.engine) as session:
            return {row.key: row.reason for row in quarantine.open_rows(session)}

    def outcomes(self) -> dict[str, tables.Outcome]:
        with database.session(self.engine) as session:
            found = session.execute(select(tables.Patient.external_id, tables.Outcome).join(tables.Outcome))
            return dict(found.all())


Make = Callable[..., Night]
