"""What a data set becomes when rows are added. Pure: tables in, tables out, the same whatever the order of ingests.

Every row that was ever seen is in exactly one of three tables: manifest (the capture), duplicates (the same bytes under
another name) and quarantine (cannot be used, with the reason). Rows of one (source, name, sha256) replace each other,
so a corrected table corrects the data set, and one that can no longer be believed takes the photograph out.

Photographs that were here before their source's official test side have been divided by a hash: they lose what the
source calls them ("train"), for good, so that nobody who tested a model trains the next.
"""

from dataclasses import dataclass

import pandas as pd

from clarity.data.groups import join
from clarity.data.likeness import same_photograph
from clarity.data.manifest import COLUMNS, REASON, empty, spelled
from clarity.params import IngestParams

TWO_GRADES = "two grades for one photograph: "
_SHOWN = 5


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


def merge(old: DataSet, seen: pd.DataFrame, params: IngestParams) -> DataSet:
    """``seen``: COLUMNS and REASON (empty where the photograph is good).

    One capture a sha256; the row that was there first stays the capture. A photograph with two grades, be it the same
    bytes or encoded again, leaves the manifest, every one of its rows going to quarantine with the others named.
    """
    conflicts = old.quarantine[REASON].str.startswith(TWO_GRADES)
    divided = divided_before(old, seen)
    earlier = pd.concat([old.manifest, old.duplicates, old.quarantine.loc[conflicts, list(COLUMNS)]])
    sightings = _latest(pd.concat([earlier[~_key(earlier).isin(_key(seen[seen[REASON] != ""]))], _good(seen)]))
    sightings["split"] = sightings["split"].mask(_key(sightings).isin(divided), "")
    sightings = sightings.assign(_new=~_key(sightings).isin(_key(old.manifest)))
    sightings = sightings.sort_values(["sha256", "_new", "source", "name"], ignore_index=True)
    picture = _pictures(sightings, params)
    torn = sightings.groupby(picture)["grade"].transform("nunique") > 1
    reasons = _reasons(sightings, picture, torn, have=set(old.manifest["sha256"]) | set(seen["sha256"]))
    whole = _graded_twins(sightings[reasons == ""])
    again = whole.duplicated("sha256")
    columns = list(COLUMNS)
    return DataSet(
        manifest=whole.loc[~again, columns].reset_index(drop=True),
        duplicates=whole.loc[again, columns].reset_index(drop=True),
        quarantine=pd.concat([_out(sightings, reasons), _bad(old.quarantine[~conflicts], seen)], ignore_index=True),
    )


def divided_before(old: DataSet, seen: pd.DataFrame) -> "pd.Series[str]":
    """Keys of the rows that are divided by the hash although their source has an official test side, now or after."""
    here = pd.concat([old.manifest, old.duplicates])
    had = set(here.loc[here["split"] == "test", "source"])
    brought = set(seen.loc[(seen[REASON] == "") & (seen["split"] == "test"), "source"])
    late = here["source"].isin(brought - had)
    return _key(here[late | (here["source"].isin(had) & (here["split"] == ""))])


def _good(seen: pd.DataFrame) -> pd.DataFrame:
    return seen.loc[seen[REASON] == "", list(COLUMNS)]


def _bad(old: pd.DataFrame, seen: pd.DataFrame) -> pd.DataFrame:
    """Rows that cannot be used: the old ones that this ingest did not see again, and this ingest's."""
    again = (old["source"] + "\n" + old["name"]).isin(set(seen["source"] + "\n" + seen["name"]))
    return pd.concat([old[~again], seen[seen[REASON] != ""]])


def _latest(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.drop_duplicates(["source", "name", "sha256"], keep="last")


def _key(rows: pd.DataFrame) -> pd.Series:
    """What a row is of: rows of one key replace each other."""
    return rows["sha256"] + "\n" + rows["source"] + "\n" + rows["name"]


def _graded_twins(rows: pd.DataFrame) -> pd.DataFrame:
    """A photograph that is graded under one name and ungraded under another counts as graded."""
    grade = rows.groupby("sha256")["grade"].transform("max")
    return rows.assign(grade=grade.astype("Int64"))


def _pictures(sightings: pd.DataFrame, params: IngestParams) -> pd.Series:
    """For each row the smallest hash of all files that show the same photograph."""
    files = sightings.drop_duplicates("sha256")
    pairs = same_photograph(files, params)
    groups = join(files["sha256"], zip(pairs["sha256_a"], pairs["sha256_b"], strict=True))
    return sightings["sha256"].map(groups)


def _reasons(sightings: pd.DataFrame, picture: pd.Series, torn: pd.Series, *, have: set[str]) -> pd.Series:
    """Why each row is kept out, "" where it is not. A file that is no longer at hand cannot come back by itself."""
    grade = spelled(sightings["grade"])
    said = sightings["source"] + " " + sightings["name"] + " says " + grade
    listed = {name: TWO_GRADES + _named(group, grade) for name, group in said[torn].groupby(picture[torn])}
    settled = TWO_GRADES + "settled since; ingest its source again to have it back"
    return pd.Series(
        [
            listed[group] if bad else ("" if sha in have else settled)
            for group, bad, sha in zip(picture, torn, sightings["sha256"], strict=True)
        ],
        index=sightings.index,
        dtype=str,
    )


def _named(said: pd.Series, grade: pd.Series) -> str:
    """Some of each grade and how many more: thousands of black frames would else fill each of their rows."""
    every = said.drop_duplicates().sort_values()
    shown = every.groupby(grade[every.index], dropna=False).head(_SHOWN)
    more = [f"and {len(every) - len(shown)} more"] if len(shown) < len(every) else []
    return "; ".join([*shown, *more])


def _out(sightings: pd.DataFrame, reasons: pd.Series) -> pd.DataFrame:
    kept_out = reasons != ""
    return sightings.loc[kept_out, list(COLUMNS)].assign(**{REASON: reasons[kept_out]})
