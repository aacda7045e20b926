"""APTOS 2019 (Kaggle): train.csv with id_code, diagnosis; photographs "000c1434d8d7.png".

Also the common repack with train_1.csv, valid.csv and test.csv, whose sides are kept. No patients, no eyes are named.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath

from clarity.data.sources import table
from clarity.data.sources.images import Images
from clarity.data.sources.row import SourceRow, parse_grade
from clarity.data.sources.tree import Tree

NAME = "aptos"
LICENCE = "Kaggle competition terms: no redistribution"
_TABLES = {"train.csv": "", "train_1.csv": "train", "valid.csv": "validation", "test.csv": "test"}


def recognises(tree: Tree) -> bool:
    """By id_code and diagnosis in train.csv or train_1.csv."""
    return any(
        {"id_code", "diagnosis"} <= set(table.columns(tree, name))
        for name in ("train.csv", "train_1.csv")
        if name in tree.files
    )


def read(tree: Tree) -> Iterator[SourceRow]:
    """Every labelled row; Kaggle's own test.csv has no labels and is passed over. Raises ManifestError, SourceError."""
    images = Images(tree)
    for name in [name for name in _TABLES if name in tree.files]:
        if name == "test.csv" and "diagnosis" not in table.columns(tree, name):
            continue
        for row in table.read(tree, name, need=("id_code", "diagnosis")):
            grade, bad = parse_grade(row["diagnosis"])
            found = images.find(row["id_code"])
            yield SourceRow(
                source=NAME,
                name=found.name,
                read=found.read,
                patient=f"{NAME}:{PurePosixPath(row['id_code']).stem}",
                grade=grade,
                split=_TABLES[name],
                licence=LICENCE,
                origin=f"{name}: {row['id_code']}",
                problem=bad or found.problem,
                stamp=found.stamp,
            )
