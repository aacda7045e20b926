"""EyePACS (Kaggle 2015): trainLabels.csv with image, level; photographs "10_left.jpeg"; EyeQ's quality.csv if present.

The patient is the number before the underscore. retinopathy_solution.csv (Kaggle's answers for test/) is read too;
only then is there an official test side.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath

from clarity.data.sources import table
from clarity.data.sources.images import Images
from clarity.data.sources.row import SourceRow, parse_eye, parse_grade
from clarity.data.sources.tree import Tree

NAME = "eyepacs"
LICENCE = "Kaggle competition terms: evaluation only, no redistribution"
_TABLES = {"trainLabels.csv": "train", "retinopathy_solution.csv": "test"}


def recognises(tree: Tree) -> bool:
    """By trainLabels.csv or retinopathy_solution.csv."""
    return any(name in tree.files for name in _TABLES)


def read(tree: Tree) -> Iterator[SourceRow]:
    """Every row of the label tables. Raises ManifestError, SourceError."""
    images = Images(tree)
    quality = _quality(tree)
    for name in [name for name in _TABLES if name in tree.files]:
        for row in table.read(tree, name, need=("image", "level")):
            patient, _, side = PurePosixPath(row["image"]).stem.partition("_")
            grade, bad = parse_grade(row["level"])
            found = images.find(row["image"])
            yield SourceRow(
                source=NAME,
                name=found.name,
                read=found.read,
                patient=f"{NAME}:{patient}",
                eye=parse_eye(side),
                grade=grade,
                quality=quality.get(row["image"], ""),
                split=_TABLES[name],
                licence=LICENCE,
                origin=f"{name}: {row['image']}",
                problem=bad or found.problem,
                stamp=found.stamp,
            )


def _quality(tree: Tree) -> dict[str, str]:
    if "quality.csv" not in tree.files:
        return {}
    rows = table.read(tree, "quality.csv", need=("image", "quality"))
    return {row["image"].rsplit(".", 1)[0]: row["quality"] for row in rows}
