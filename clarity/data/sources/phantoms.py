"""Drawn photographs, as ``clarity.data.phantoms.write`` leaves them: labels.csv, PHANTOMS.txt, JPEGs. No patient's."""

from collections.abc import Iterator

from clarity.data.sources import folder, table
from clarity.data.sources.row import SourceRow
from clarity.data.sources.tree import Tree

NAME = "phantoms"
_NOTICE = "PHANTOMS.txt"
_NEED = {"image", "patient", "eye", "grade", "quality"}


def recognises(tree: Tree) -> bool:
    """By the notice that the generator leaves."""
    return _NOTICE in tree.files and "labels.csv" in tree.files


def read(tree: Tree) -> Iterator[SourceRow]:
    """Every row of labels.csv. Raises ManifestError, SourceError."""
    table.read(tree, "labels.csv", need=sorted(_NEED))
    yield from folder.read(tree, {"table": "labels.csv"}, source=NAME)
