"""Has this been judged before? A verdict holds for one challenger, one champion, one test split, one set of floors."""

import hashlib
import json
from collections.abc import Iterable

import pandas as pd

from clarity.errors import BundleError
from clarity.inference.bundle import Bundle
from clarity.params import GateParams
from clarity.records import ModelRef
from clarity.registry.gate import Rule
from clarity.registry.ledger import Entry

KEY = "judgement"
"""Among the figures of a ledger row: what the row's verdict was about."""


def key(challenger: str, champion: str | None, predictions: pd.DataFrame, params: GateParams) -> str:
    """32 hex digits of the two bundles' digests, the test split's photographs and reference grades, and the gate.

    A changed floor, another champion or a photograph more is another judgement; a changed note is not.
    """
    test = predictions[predictions["split"] == "test"].sort_values("sha256")
    said = {
        "challenger": challenger,
        "champion": champion,
        "test": [[str(sha256), int(grade)] for sha256, grade in zip(test["sha256"], test["grade"], strict=True)],
        "gate": params.model_dump(exclude={"note"}),
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:32]


def earlier(entries: Iterable[Entry], key: str) -> Entry | None:
    """The last row whose verdict was about the same, or None."""
    found = [entry for entry in entries if entry.figures.get(KEY) == key]
    return found[-1] if found else None


def standing(entries: Iterable[Entry], version: str, key: str | None) -> Entry | None:
    """The row of the verdict that holds for a version: of the judgement ``key``; without one, the gate's last on it."""
    if key is not None:
        return earlier(entries, key)
    found = [entry for entry in entries if entry.version == version and KEY in entry.figures]
    return found[-1] if found else None


def rule(bundle: Bundle) -> Rule:
    """How the bundle turns probabilities into answers."""
    return Rule(bundle.spec.decision, bundle.spec.thresholds.referable)


def incomparable(champion: ModelRef, error: BundleError) -> str:
    """The reason for refusing a challenger whose champion this code cannot run, so that nobody can compare them."""
    return (
        f"failed: the champion, version {champion.version}, cannot be run by this code, so nothing can be compared "
        f"({error}); if the change is meant, a person promotes: `clarity model promote`"
    )
