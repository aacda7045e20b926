"""Who trains, who validates, who tests: by patient, the same for ever, whoever else joins.

A patient's side is a hash of salt and patient id against two thresholds, so adding data moves nobody. Patients who
share a photograph, or nearly the same one, are one group and go together; the group's side is that of its smallest
hash. A source's official sides are kept where it brings a test side of its own; otherwise its "train" is divided here,
and stays as it was divided when the test side comes later (``merge``): who tested a model never trains the next.
"""

import hashlib
import logging
from pathlib import Path
from typing import Any

import pandas as pd

from clarity.data import dataset
from clarity.data.groups import join
from clarity.data.likeness import near_pairs
from clarity.data.workspace import DATA
from clarity.errors import LeakError
from clarity.params import IngestParams, SplitParams

log = logging.getLogger(__name__)

SIDES: tuple[str, ...] = ("train", "validation", "test")
FILE = "artifacts/split.csv"
COLUMNS = ["sha256", "patient", "source", "eye", "grade", "split"]
_LEFT_OUT = ""
_SHOWN = 5


def assign(table: pd.DataFrame, params: SplitParams, near_duplicates: pd.DataFrame) -> "pd.Series[str]":
    """A side for each row of the manifest, "" for a row that is left out, index and order as in ``table``.

    ``near_duplicates``: columns patient_a, patient_b at least; pairs of patients who may not be parted. Left out is a
    near-duplicate that a source's official sides put on both sides: it stays where it counts most (test, then
    validation) and its twin is used nowhere.
    """
    pairs = zip(near_duplicates["patient_a"], near_duplicates["patient_b"], strict=True)
    groups = join(table["patient"].unique(), pairs)
    position = {patient: _position(patient, params.salt) for patient in groups}
    smallest: dict[str, float] = {}
    for patient, group in groups.items():
        smallest[group] = min(smallest.get(group, 1.0), position[patient])
    own = table["patient"].map(groups).map(smallest)
    official = _official(table)
    side = own.map(lambda at: _side(at, params)).where(official == "", official)
    # an official training row may validate, and never tests
    side = side.mask((official == "train") & ~_has_validation(table), own.map(lambda at: _train_side(at, params)))
    paired = table["patient"].isin(set(near_duplicates["patient_a"]) | set(near_duplicates["patient_b"]))
    return _settle(side, table["patient"].map(groups), official, paired).rename("split")


def check(table: pd.DataFrame, sides: "pd.Series[str]", near_duplicates: pd.DataFrame) -> None:
    """Raise LeakError, rows named, where one patient or two near-duplicates stand on two sides, or a side is empty."""
    used = table.assign(split=sides.to_numpy())
    used = used[used["split"] != _LEFT_OUT]
    _check_patients(used)
    _check_pairs(used, near_duplicates)
    empty = [side for side in SIDES if not (used["split"] == side).any()]
    if empty:
        raise LeakError(
            f"split: {used['patient'].nunique()} patients, nobody on the side {' and '.join(empty)}; "
            "more data, or other shares in the configuration (split)"
        )


def split_all(root: Path, params: SplitParams, ingest: IngestParams) -> Path:
    """The stage ``split``: data/ below ``root`` to artifacts/split.csv (COLUMNS; rows with a grade only).

    Raises ManifestError, LeakError.
    """
    data = dataset.load(root / DATA)
    pairs = linked(data.manifest, data.duplicates, ingest)
    graded = data.manifest[data.manifest["grade"].notna()].reset_index(drop=True)
    sides = assign(graded, params, pairs)
    check(graded, sides, pairs)
    table = graded.assign(split=sides)
    target = root / FILE
    target.parent.mkdir(parents=True, exist_ok=True)
    log.info("split: %s", _said(sides))
    table.loc[table["split"] != _LEFT_OUT, COLUMNS].to_csv(target, index=False, lineterminator="\n")
    return target


def linked(table: pd.DataFrame, duplicates: pd.DataFrame, ingest: IngestParams) -> pd.DataFrame:
    """Near-duplicates over different patients, and patients who share the very same photograph (0 bits apart)."""
    twins = duplicates.merge(table, on="sha256", suffixes=("_b", "_a"))
    twins = twins[twins["patient_a"] != twins["patient_b"]].assign(sha256_a=twins["sha256"], sha256_b=twins["sha256"])
    twins = twins.assign(bits=0, detail_bits=0)
    near = near_pairs(table, ingest)
    return pd.concat([near, twins[near.columns]], ignore_index=True) if len(twins) else near


def _said(sides: "pd.Series[str]") -> str:
    """How many photographs stand on each side and how many are left out, in one line."""
    counts = sides.value_counts()
    placed = ", ".join(f"{counts.get(side, 0)} {side}" for side in SIDES)
    return f"{placed}, {counts.get(_LEFT_OUT, 0)} left out as near-duplicates of another official side"


def _position(patient: str, salt: str) -> float:
    """In [0, 1), evenly spread, from nothing but salt and patient."""
    digest = hashlib.sha256(f"{salt}\n{patient}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _side(at: float, params: SplitParams) -> str:
    if at < params.test:
        return "test"
    return "validation" if at < params.test + params.validation else "train"


def _train_side(at: float, params: SplitParams) -> str:
    return "validation" if at < params.validation else "train"


def _official(table: pd.DataFrame) -> "pd.Series[str]":
    tested = set(table.loc[table["split"] == "test", "source"])
    return table["split"].where(table["source"].isin(tested), "")


def _has_validation(table: pd.DataFrame) -> "pd.Series[bool]":
    return table["source"].isin(set(table.loc[table["split"] == "validation", "source"]))


def _settle(
    side: "pd.Series[str]",
    group: "pd.Series[str]",
    official: "pd.Series[str]",
    paired: "pd.Series[bool]",
) -> "pd.Series[str]":
    """Groups of several patients with an official member: everybody free follows it, official twins elsewhere go."""
    side = side.copy()
    for _, rows in side[paired].groupby(group[paired]):
        named = official[rows.index]
        if not (named != "").any():
            continue
        stronger = next(s for s in ("test", "validation", "train") if (named.eq(s) & rows.eq(s)).any() or s == "train")
        if stronger == "train":
            stronger = rows[named == "train"].iloc[0]
        side[rows.index] = rows.where(rows == stronger, _LEFT_OUT).where(named != "", stronger)
    return side


def _check_patients(used: pd.DataFrame) -> None:
    torn = used[used.groupby("patient")["split"].transform("nunique") > 1].sort_values(["patient", "split"])
    if len(torn):
        named = [f"{row.patient} ({row.name_}, {row.split})" for row in _rows(torn.head(_SHOWN))]
        raise LeakError(f"split: {torn['patient'].nunique()} patients on two sides: {'; '.join(named)}")


def _check_pairs(used: pd.DataFrame, pairs: pd.DataFrame) -> None:
    """By group, not by pair: what two photographs are both like may itself be on no side."""
    if not {"sha256_a", "sha256_b"} <= set(pairs.columns):
        return
    groups = join([], zip(pairs["sha256_a"], pairs["sha256_b"], strict=True))
    group = used["sha256"].map(groups)
    torn = used[used.groupby(group)["split"].transform("nunique") > 1]
    if len(torn):
        firsts = torn.assign(group=group).drop_duplicates(["group", "split"]).groupby("group", sort=False)
        named = [" and ".join(f"{row.name_} ({row.split})" for row in _rows(rows)) for _, rows in firsts]
        raise LeakError(f"split: {len(named)} near-duplicates on two sides: {'; '.join(named[:_SHOWN])}")


def _rows(table: pd.DataFrame) -> list[Any]:
    return list(table.rename(columns={"name": "name_"}).itertuples(index=False))
