"""What tests of reports share: a summary in which every figure may be replaced."""

from typing import Any

from clarity.screening.report.mix import compare
from clarity.screening.report.summary import Summary


def summary(**changes: Any) -> Summary:
    """A quiet night of 100 photographs."""
    values: dict[str, Any] = {
        "run": "20261122T020000Z-abc123",
        "kind": "night",
        "started_at": "2026-11-22T02:00:00+00:00",
        "model": "clarity-dr",
        "model_version": "3",
        "fingerprint": "f" * 16,
        "precision": "fp32",
        "policy": "ada 2024.1",
        "status": "completed",
        "seconds": 10.0,
        "throughput": 10.0,
        "registered": 100,
        "scored": 90,
        "ungradable": 10,
        "quarantined": 4,
        "quarantined_new": 0,
        "failed": 0,
        "recapture": 10,
        "abstained": 9,
        "outcomes": {"refer": 5, "review": 4, "incomplete": 3, "no referral": 38},
        "first": [
            {"priority": p, "visits": n, "waiting": n, "due_on": "2026-11-24"} for p, n in enumerate((1, 4, 4, 3))
        ],
        "grades": {"0": 60, "1": 10, "2": 15, "3": 3, "4": 2},
        "mix": compare({0: 60, 1: 10, 2: 15, 3: 3, 4: 2}, []),
        "nights": 0,
        "ungradable_reasons": [{"reason": "blurred", "count": 10, "share": 0.1}],
        "review_reasons": [{"reason": "near the threshold", "count": 9, "share": 0.1}],
        "waiting_for_a_person": 4,
        "quarantine": [],
        "quarantine_more": 0,
        "steps": {"register": 2.0, "score": 7.0},
        "canaries": 6,
        "canaries_changed": [],
        "drift": [],
        "limits_passed": [],
        "limits_known": True,
        "errors": [],
        "error_count": 0,
        "report": "reports/20261122T020000Z-abc123/",
    }
    return Summary(**(values | changes))
