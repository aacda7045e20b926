"""IDRiD, "B. Disease Grading" in its official folders (Porwal et al. 2018, doi 10.3390/data3030025).

Training and testing use the same file names for different photographs: a name here starts with its side. The set names
neither patients nor eyes, so every photograph is its own patient.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath

from clarity.data.sources import table
from clarity.data.sources.images import Images
from clarity.data.sources.row import SourceRow, parse_grade
from clarity.data.sources.tree import Tree

NAME = "idrid"
LICENCE = "CC BY 4.0 (Porwal et al. 2018)"
_SIDES = (("train", "a. Training Set", "Training Labels.csv"), ("test", "b. Testing Set", "Testing Labels.csv"))


def recognises(tree: Tree) -> bool:
    """By the official names of its label tables."""
    return any(_table(tree, ending) for _, _, ending in _SIDES)


def read(tree: Tree) -> Iterator[SourceRow]:
    """Both parts of the grading set, or the one that is there. Raises ManifestError, SourceError."""
    for side, folder, ending in _SIDES:
        labels = _table(tree, ending)
        if not labels:
            continue
        root = labels.rpartition("2. Groundtruths/")[0]
        images = Images(tree, under=f"{root}1. Original Images/{folder}")
        for row in table.read(tree, labels, need=("Image name", "Retinopathy grade")):
            grade, bad = parse_grade(row["Retinopathy grade"])
            found = images.find(row["Image name"])
            yield SourceRow(
                source=NAME,
                name=f"{side}/{found.name.rpartition('/')[2]}",
                read=found.read,
                patient=f"{NAME}:{side}/{PurePosixPath(row['Image name']).stem}",
                grade=grade,
                split=side,
                licence=LICENCE,
                origin=f"{labels}: {row['Image name']}",
                problem=bad or found.problem,
                stamp=found.stamp,
            )


def _table(tree: Tree, ending: str) -> str | None:
    return next((n for n in tree.files if n.endswith(ending) and "Disease Grading" in n.rpartition("/")[2]), None)
