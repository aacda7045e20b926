"""DeepDRiD, regular fundus images (Liu et al. 2022): a csv a part, photographs "Images/1/1_l1.jpg".

The name says patient, eye (l, r) and field (1 macula, 2 disc). The grade is the eye's. Parts: regular-fundus-training,
regular-fundus-validation and the online evaluation, kept as official sides.
"""

import re
from collections.abc import Iterator

from clarity.data.sources import table
from clarity.data.sources.images import Found, Images
from clarity.data.sources.row import SourceRow, parse_eye, parse_grade
from clarity.data.sources.tree import Tree
from clarity.errors import ManifestError

NAME = "deepdrid"
LICENCE = "CC BY 4.0 (Liu et al. 2022)"
_NAME = re.compile(r"(?P<patient>\d+)_(?P<eye>[lr])(?P<field>[12])$")
_FIELDS = {"1": "macula", "2": "disc"}
_LEVELS = {"l": ("left_eye_DR_Level",), "r": ("right_eye_DR_Level",)}
_ANY_LEVEL = ("DR_Levels", "DR_Level", "DR level")


def recognises(tree: Tree) -> bool:
    """By its csv names."""
    return bool(_tables(tree))


def read(tree: Tree) -> Iterator[SourceRow]:
    """Every photograph of every part. Raises ManifestError, SourceError."""
    for name in _tables(tree):
        images = Images(tree, under=name.rpartition("/")[0])
        side = _side(name)
        for row in table.read(tree, name, need=("image_id",)):
            found = images.find(row["image_id"])
            yield _row(tree, row, found, side, name)


def _row(tree: Tree, row: table.Row, found: Found, side: str, name: str) -> SourceRow:
    parts = _NAME.match(row["image_id"].rsplit(".", 1)[0])
    eye = parts["eye"] if parts else ""
    column = table.pick(row, _LEVELS.get(eye, ()) + _ANY_LEVEL)
    if column is None:
        raise ManifestError(f"{tree.place}/{name}: no column left_eye_DR_Level, right_eye_DR_Level or DR_Levels")
    ungradable = row[column].strip() in ("5", "5.0")
    grade, bad = (None, "") if ungradable else parse_grade(row[column])
    quality = table.pick(row, ("Overall quality",))
    return SourceRow(
        source=NAME,
        name=found.name,
        read=found.read,
        patient=f"{NAME}:{parts['patient'] if parts else row['image_id']}",
        eye=parse_eye(eye),
        field=_FIELDS[parts["field"]] if parts else "unknown",
        grade=grade,
        quality="ungradable" if ungradable else {"1": "good", "0": "poor"}.get(row[quality] if quality else "", ""),
        split=side,
        licence=LICENCE,
        origin=f"{name}: {row['image_id']}",
        problem=bad or found.problem,
        stamp=found.stamp,
    )


def _tables(tree: Tree) -> list[str]:
    base = {name: name.rpartition("/")[2].lower() for name in tree.files if name.lower().endswith(".csv")}
    return [n for n, b in base.items() if b.startswith("regular-fundus-") or b == "challenge1_labels.csv"]


def _side(name: str) -> str:
    lowered = name.lower()
    if "training" in lowered.rpartition("/")[2]:
        return "train"
    return "validation" if "regular-fundus-validation" in lowered else "test"
