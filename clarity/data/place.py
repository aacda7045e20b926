"""Whether what a folder brings is more of the place that its name stands for, or another place under the same name.

File names and patients of a plain folder are unique only within it: "1.jpg" of two clinics is two photographs, "7" two
patients. Where a folder lies says nothing, as it may be moved or mounted elsewhere; what is in it does.
"""

import pandas as pd

from clarity.data import sources
from clarity.data.merge import DataSet
from clarity.errors import SourceError


def refuse_another(old: DataSet, rows: pd.DataFrame) -> None:
    """``rows``: COLUMNS, of one source. Raises SourceError where most names that ``old`` knows are other photographs.

    Some are another ingest of a folder in which files were corrected or added. A public set is one place by itself.
    """
    source = rows["source"].iloc[0]
    if source in sources.SETS:
        return
    have = pd.concat([old.manifest, old.duplicates]).query("source == @source")
    known = have.groupby("name")["sha256"].agg(set).to_dict()
    read = rows[rows["sha256"] != ""].drop_duplicates("name")
    shared = [sha in known[name] for name, sha in zip(read["name"], read["sha256"], strict=True) if name in known]
    if shared.count(False) > len(shared) / 2:
        raise SourceError(
            f"source {source}: {shared.count(False)} of the {len(shared)} file names that the data set has of it are "
            f"other photographs here; if this is another place, ingest it with --name NAME, which keeps both apart"
        )
