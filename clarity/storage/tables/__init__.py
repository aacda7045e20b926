"""The tables of Clarity's PostgreSQL, typed. Every timestamp is UTC; every identity that must not double is unique.

The Alembic migrations in ``storage/migrations/`` make them; a test holds the two equal.
"""

from clarity.storage.tables.access import Access, Answered, ApiKey, Identified
from clarity.storage.tables.base import Base
from clarity.storage.tables.erasures import POLICIES, Erasure
from clarity.storage.tables.ledger import ACTIONS, Promotion
from clarity.storage.tables.nights import (
    QUARANTINE_KINDS,
    RUN_KINDS,
    RUN_STATES,
    InboxObject,
    Lease,
    Quarantined,
    ScreeningRun,
)
from clarity.storage.tables.people import DECISIONS, STATES, Patient, Review, Scan
from clarity.storage.tables.results import RESULTS, Outcome, Prediction

__all__ = [
    "ACTIONS",
    "DECISIONS",
    "POLICIES",
    "QUARANTINE_KINDS",
    "RESULTS",
    "RUN_KINDS",
    "RUN_STATES",
    "STATES",
    "Access",
    "Answered",
    "ApiKey",
    "Base",
    "Erasure",
    "Identified",
    "InboxObject",
    "Lease",
    "Outcome",
    "Patient",
    "Prediction",
    "Promotion",
    "Quarantined",
    "Review",
    "Scan",
    "ScreeningRun",
]
