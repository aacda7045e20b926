"""DDR, grading part (Li et al. 2019): train.txt, valid.txt, test.txt with "name grade", photographs below train/ ….

Grade 5 is ungradable there: no grade, quality "ungradable". The set does not say whose photographs they are. The
repack with one DR_grading.csv (id_code, diagnosis) is read too; it has no official sides.
"""

from collections.abc import Iterator

from clarity.data.sources import table
from clarity.data.sources.images import Images
from clarity.data.sources.row import SourceRow, parse_grade
from clarity.data.sources.tree import Tree
from clarity.errors import ManifestError

NAME = "ddr"
LICENCE = "DDR terms: research only"
_SIDES = {"train.txt": "train", "valid.txt": "validation", "test.txt": "test"}
_UNGRADABLE = "5"


def recognises(tree: Tree) -> bool:
    """By train.txt beside a train folder, or DR_grading.csv."""
    names = {name.rpartition("/")[2] for name in tree.files}
    return "DR_grading.csv" in names or {"train.txt", "valid.txt"} <= names


def read(tree: Tree) -> Iterator[SourceRow]:
    """Every line of the official lists, or every row of the repack's table. Raises ManifestError, SourceError."""
    for labels, side, rows in _tables(tree):
        images = _images(tree, labels.rpartition("/")[0], side)
        for name, text in rows:
            ungradable = text == _UNGRADABLE
            grade, bad = (None, "") if ungradable else parse_grade(text)
            found = images.find(name)
            yield SourceRow(
                source=NAME,
                name=found.name,
                read=found.read,
                patient=f"{NAME}:{name.rsplit('.', 1)[0]}",
                grade=grade,
                quality="ungradable" if ungradable else "",
                split=side,
                licence=LICENCE,
                origin=f"{labels}: {name}",
                problem=bad or found.problem,
                stamp=found.stamp,
            )


def _tables(tree: Tree) -> Iterator[tuple[str, str, list[tuple[str, str]]]]:
    lists = [name for name in tree.files if name.rpartition("/")[2] in _SIDES]
    for name in lists:
        yield name, _SIDES[name.rpartition("/")[2]], _lines(tree, name)
    tables = [name for name in tree.files if name.rpartition("/")[2] == "DR_grading.csv"]
    for name in [] if lists else tables[:1]:
        rows = table.read(tree, name, need=("id_code", "diagnosis"))
        yield name, "", [(row["id_code"], row["diagnosis"]) for row in rows]


def _lines(tree: Tree, name: str) -> list[tuple[str, str]]:
    rows = []
    for line in tree.reader(name)().decode("utf-8", "replace").splitlines():
        image, _, grade = line.strip().rpartition(" ")
        if line.strip() and not image:
            raise ManifestError(f"{tree.place}/{name}: {line.strip()!r}, not a file name and a grade")
        if image:
            rows.append((image.strip(), grade.strip()))
    return rows


def _images(tree: Tree, folder: str, side: str) -> Images:
    own = {"train": "train", "validation": "valid", "test": "test"}.get(side, "")
    images = Images(tree, under=f"{folder}/{own}")
    return images if images.names else Images(tree, under=folder)
