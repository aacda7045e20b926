"""Messidor-2 with the adjudicated grades of Krause et al. 2018 (messidor_data.csv).

Columns image_id, adjudicated_dr_grade, adjudicated_dme, adjudicated_gradable. An examination is a pair of eyes: where
a table with columns "left" and "right" lies beside it, its rows are the patients; without it every photograph is its
own patient. An ungradable photograph has no grade and quality "ungradable".
"""

from collections.abc import Iterator
from pathlib import PurePosixPath

from clarity.data.sources import table
from clarity.data.sources.images import Images
from clarity.data.sources.row import SourceRow, parse_grade
from clarity.data.sources.tree import Tree
from clarity.records import Eye

NAME = "messidor2"
LICENCE = "ADCIS Messidor terms: research and education, no redistribution"
_NEED = ("image_id", "adjudicated_dr_grade")


def recognises(tree: Tree) -> bool:
    """By a csv with image_id and adjudicated_dr_grade."""
    return _labels(tree) is not None


def read(tree: Tree) -> Iterator[SourceRow]:
    """Every row of the adjudicated grades. Raises ManifestError, SourceError."""
    images, pairs = Images(tree), _pairs(tree)
    labels = _labels(tree) or "messidor_data.csv"
    for row in table.read(tree, labels, need=_NEED):
        grade, bad = parse_grade(row["adjudicated_dr_grade"])
        gradable = row.get("adjudicated_gradable", "1").strip() not in ("0", "0.0")
        found = images.find(row["image_id"])
        patient, eye = pairs.get(_stem(row["image_id"]), (_stem(row["image_id"]), Eye.UNKNOWN))
        yield SourceRow(
            source=NAME,
            name=found.name,
            read=found.read,
            patient=f"{NAME}:{patient}",
            eye=eye,
            field="macula",
            grade=grade if gradable else None,
            quality="" if gradable else "ungradable",
            licence=LICENCE,
            origin=f"{labels}: {row['image_id']}",
            problem=bad or found.problem,
            stamp=found.stamp,
        )


def _labels(tree: Tree) -> str | None:
    tables = [name for name in tree.files if name.endswith(".csv") and name.count("/") <= 1]
    return next((name for name in tables if set(_NEED) <= set(table.columns(tree, name))), None)


def _pairs(tree: Tree) -> dict[str, tuple[str, Eye]]:
    pairs: dict[str, tuple[str, Eye]] = {}
    for name in [name for name in tree.files if name.endswith(".csv") and name.count("/") <= 1]:
        header = table.columns(tree, name)
        left, right = table.pick(header, ("left", "left eye", "image left")), table.pick(header, ("right", "right eye"))
        if not left or not right:
            continue
        for row in table.read(tree, name):
            patient = min(_stem(row[left]), _stem(row[right]))
            pairs |= {_stem(row[left]): (patient, Eye.LEFT), _stem(row[right]): (patient, Eye.RIGHT)}
    return pairs


def _stem(name: str) -> str:
    return PurePosixPath(name.strip().lower()).stem
