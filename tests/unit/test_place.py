"""One place under a name, or two: what a second ingest of a plain folder brings."""

import pandas as pd
import pytest

from clarity.data import manifest
from clarity.data.manifest import COLUMNS, REASON
from clarity.data.merge import DataSet, merge, nothing
from clarity.data.place import refuse_another
from clarity.errors import SourceError
from clarity.params import Params
from tests.unit.test_manifest import picture


def rows(files: dict[str, str], source: str = "folder") -> pd.DataFrame:
    """Name to content of good photographs."""
    base = dict.fromkeys(COLUMNS, "") | {
        "width": 512,
        "height": 512,
        "bytes": 9,
        "grade": 0,
        "source": source,
        REASON: "",
    }
    found = [base | (picture(sha) if sha else {}) | {"name": name, "patient": name} for name, sha in files.items()]
    return manifest.typed(pd.DataFrame(found, columns=[*COLUMNS, REASON]))


@pytest.fixture
def old(params: Params) -> DataSet:
    """A folder of four photographs, one of them under two names."""
    return merge(nothing(), rows({"1": "a1", "2": "a2", "3": "a3", "4": "a4", "4 again": "a4"}), params.ingest)


@pytest.mark.parametrize(
    "files",
    [
        {"1": "a1", "2": "a2", "3": "a3", "4": "a4", "4 again": "a4"},
        {"1": "a1", "2": "a2", "3": "c3", "4": "c4"},
        {"5": "b5", "6": "b6"},
        {"1": "", "2": ""},
    ],
    ids=["the same", "two of four corrected", "more of it", "nothing that can be read"],
)
def test_a_folder_that_was_corrected_or_has_grown_is_the_same_place(old: DataSet, files: dict[str, str]) -> None:
    refuse_another(old, rows(files))


def test_most_names_with_other_photographs_are_another_place(old: DataSet) -> None:
    said = r"source folder: 3 of the 4 file names that .* other photographs here; .* with --name NAME"
    with pytest.raises(SourceError, match=said):
        refuse_another(old, rows({"1": "a1", "2": "b2", "3": "b3", "4 again": "b4", "5": "b5"}))


def test_another_name_and_a_public_set_are_not_compared(old: DataSet, params: Params) -> None:
    others = {"1": "b1", "2": "b2", "3": "b3"}
    refuse_another(old, rows(others, source="clinicB"))
    refuse_another(merge(old, rows({"1": "c1"}, source="eyepacs"), params.ingest), rows(others, source="eyepacs"))
