"""What a data set becomes when rows are added. Pure: tables in, tables out, the same whatever the order of ingests.

Every row that was ever seen is in exactly one of three tables: manifest (the capture), duplicates (the same bytes under
another name) and quarantine (cannot be used, with the reason). Rows of one (source, name, sha256) replace each other,
so a corrected table corrects the data set.
"""

from dataclasses import dataclass

import pandas as pd

from clarity.data.manifest import COLUMNS, REASON, empty

TWO_GRADES = "two grades for one photograph: "


@dataclass(frozen=True, slots=True)
class DataSet:
    """The three tables of a version of data/."""

    manifest: pd.DataFrame
    duplicates: pd.DataFrame
    quarantine: pd.DataFrame
    """COLUMNS and REASON."""


def nothing() -> DataSet:
    """A data set without a photograph."""
    return DataSet(empty(), empty(), empty(reason=True))


def merge(old: DataSet, seen: pd.DataFrame) -> DataSet:
    """``seen``: COLUMNS and REASON (empty where the photograph is good).

    One capture a sha256; the row that was there first stays the capture. A photograph with two grades leaves the
    manifest, every one of its rows going to quarantine with the others named.
    """
    conflicts = old.quarantine[REASON].str.startswith(TWO_GRADES)
    sightings = _latest(
        pd.concat([old.manifest, old.duplicates, old.quarantine.loc[conflicts, list(COLUMNS)], _good(seen)])
    )
    first = sightings["sha256"] + "\n" + sightings["source"] + "\n" + sightings["name"]
    kept = set(old.manifest["sha256"] + "\n" + old.manifest["source"] + "\n" + old.manifest["name"])
    sightings = sightings.assign(_new=~first.isin(kept)).sort_values(["sha256", "_new", "source", "name"])
    torn = sightings.groupby("sha256")["grade"].transform("nunique") > 1
    whole = _graded_twins(sightings[~torn])
    again = whole.duplicated("sha256")
    columns = list(COLUMNS)
    return DataSet(
        manifest=whole.loc[~again, columns].reset_index(drop=True),
        duplicates=whole.loc[again, columns].reset_index(drop=True),
        quarantine=pd.concat([_named(sightings.loc[torn, columns]), _bad(old.quarantine[~conflicts], seen)]),
    )


def _good(seen: pd.DataFrame) -> pd.DataFrame:
    return seen.loc[seen[REASON] == "", list(COLUMNS)]


def _bad(old: pd.DataFrame, seen: pd.DataFrame) -> pd.DataFrame:
    """Rows that cannot be used: the old ones that this ingest did not see again, and this ingest's."""
    again = (old["source"] + "\n" + old["name"]).isin(set(seen["source"] + "\n" + seen["name"]))
    return pd.concat([old[~again], seen[seen[REASON] != ""]])


def _latest(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.drop_duplicates(["source", "name", "sha256"], keep="last")


def _graded_twins(rows: pd.DataFrame) -> pd.DataFrame:
    """A photograph that is graded under one name and ungraded under another counts as graded."""
    grade = rows.groupby("sha256")["grade"].transform("max")
    return rows.assign(grade=grade.astype("Int64"))


def _named(torn: pd.DataFrame) -> pd.DataFrame:
    if torn.empty:
        return empty(reason=True)
    said = torn["source"] + " " + torn["name"] + " says " + torn["grade"].astype(str).replace("<NA>", "none")
    reasons = said.groupby(torn["sha256"]).transform(lambda group: "; ".join(sorted(group)))
    return torn.assign(**{REASON: TWO_GRADES + reasons})
