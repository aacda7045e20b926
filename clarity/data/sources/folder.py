"""Any folder: photographs beside a csv with named columns, or one folder a grade.

The csv is the only one at the top, or the one named labels.csv, or options["table"]. Columns are known by the usual
names; ``options`` says others, for example {"grade": "ICDR", "patient": "MRN pseudonym"}. Without a table the nearest
folder that is a grade counts, and sides train, val, test among the folders are kept.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from posixpath import splitext

from clarity.data.sources import table
from clarity.data.sources.images import Images
from clarity.data.sources.row import SourceRow, parse_eye, parse_grade
from clarity.data.sources.tree import Tree, is_image
from clarity.errors import ManifestError, SourceError

NAME = "folder"
ALIASES: dict[str, tuple[str, ...]] = {
    "image": (
        "image",
        "filename",
        "file",
        "file name",
        "image name",
        "image id",
        "image path",
        "id code",
        "path",
        "name",
    ),
    "grade": ("grade", "level", "diagnosis", "dr grade", "retinopathy grade", "icdr", "label", "dr"),
    "patient": ("patient", "patient id", "subject", "subject id"),
    "eye": ("eye", "laterality", "side of eye"),
    "field": ("field", "view"),
    "quality": ("quality", "image quality"),
    "split": ("split", "set", "subset", "usage"),
    "licence": ("licence", "license"),
}
_SPLITS = {"train": "train", "training": "train", "val": "validation", "valid": "validation",
           "validation": "validation", "test": "test", "testing": "test"}  # fmt: skip
_GRADE_FOLDERS = {"nodr": "0", "normal": "0", "mild": "1", "moderate": "2", "severe": "3",
                  "proliferatedr": "4", "proliferative": "4", "proliferativedr": "4", "pdr": "4"}  # fmt: skip


def recognises(tree: Tree) -> bool:
    """By a table with an image and a grade column, or by at least two grade folders with photographs."""
    name = _table(tree, {})
    if name:
        header = table.columns(tree, name)
        return all(table.pick(header, ALIASES[key]) for key in ("image", "grade"))
    return len({grade for name in tree.files if is_image(name) for grade in _folder_grades(name)[:1]}) >= 2


def explain(tree: Tree) -> None:
    """What keeps the table of a folder that nobody recognises from being read. Raises ManifestError, SourceError."""
    if name := _table(tree, {}):
        _columns(tree, name, table.read(tree, name), {})


def read(tree: Tree, options: Mapping[str, str] | None = None, *, source: str = NAME) -> Iterator[SourceRow]:
    """Every row of the table, or every photograph in a grade folder. Raises ManifestError, SourceError."""
    options = dict(options or {})
    name = _table(tree, options)
    yield from _from_table(tree, name, options, source) if name else _from_folders(tree, source)


def _from_table(tree: Tree, name: str, options: Mapping[str, str], source: str) -> Iterator[SourceRow]:
    rows = table.read(tree, name)
    where = _columns(tree, name, rows, options)
    images = Images(tree)
    for row in rows:
        cell = {key: row[column] if column else "" for key, column in where.items()}
        found = images.find(cell["image"])
        grade, bad = parse_grade(cell["grade"])
        yield SourceRow(
            source=source,
            name=found.name,
            read=found.read,
            patient=f"{source}:{cell['patient'] or splitext(found.name)[0]}",
            eye=parse_eye(cell["eye"]),
            field=cell["field"] or "unknown",
            grade=grade,
            quality=cell["quality"],
            split=_SPLITS.get(cell["split"].lower(), ""),
            licence=cell["licence"],
            origin=f"{name}: {cell['image']}",
            problem=bad or found.problem,
            stamp=found.stamp,
        )


def _from_folders(tree: Tree, source: str) -> Iterator[SourceRow]:
    graded = {name: digits for name in tree.files if is_image(name) and (digits := _folder_grades(name))}
    if not graded:
        raise SourceError(f"{tree.place}: neither a csv with an image and a grade column nor folders named 0 to 4")
    for name, digits in graded.items():
        grade, bad = parse_grade(digits[0])
        doubt = f"lies in folders of the grades {' and '.join(digits)}" if len(digits) > 1 else ""
        sides = [_SPLITS[part.lower()] for part in PurePosixPath(name).parts[:-1] if part.lower() in _SPLITS]
        yield SourceRow(
            source=source,
            name=name,
            read=tree.reader(name),
            patient=f"{source}:{splitext(name)[0]}",
            grade=grade,
            split=sides[-1] if sides else "",
            problem=doubt or bad,
            stamp=tree.files[name],
        )


def _table(tree: Tree, options: Mapping[str, str]) -> str | None:
    if "table" in options:
        if options["table"] not in tree.files:
            raise SourceError(f"{tree.place}/{options['table']}: there is no such table")
        return options["table"]
    tables = [name for name in tree.files if name.endswith(".csv") and "/" not in name]
    if "labels.csv" in tables:
        return "labels.csv"
    return tables[0] if len(tables) == 1 else None


def _columns(tree: Tree, name: str, rows: list[table.Row], options: Mapping[str, str]) -> dict[str, str | None]:
    if not rows:
        raise ManifestError(f"{tree.place}/{name}: no rows below the header")
    return {key: _column(f"{tree.place}/{name}", list(rows[0]), key, options) for key in ALIASES}


def _column(place: str, header: list[str], key: str, options: Mapping[str, str]) -> str | None:
    if key in options and options[key] not in header:
        raise ManifestError(f"{place}: no column {options[key]!r} for {key}; it has {', '.join(header)}")
    column = options.get(key) or table.pick(header, ALIASES[key])
    if column is None and key in ("image", "grade"):
        raise ManifestError(f"{place}: no column for {key}; it has {', '.join(header)}; say --column {key}=…")
    return column


def _folder_grades(name: str) -> list[str]:
    """The different grades of the folders that it lies in, the nearest first.

    More than one is a doubt: below "0/2" the 2 may be a patient's number.
    """
    folders = [folder.name.lower() for folder in PurePosixPath(name).parents]
    found = (_grade_of(folder, nearest=depth == 0) for depth, folder in enumerate(folders))
    return list(dict.fromkeys(digit for digit in found if digit))


def _grade_of(folder: str, *, nearest: bool) -> str | None:
    """Further up a number counts only where nothing else is said: in "1. Original Images" it is no grade."""
    numbered = re.fullmatch(r"(?:grade|level|class|dr)?[\s_-]*(\d)(?:[\s_.-](.*))?", folder)
    if numbered and (nearest or not (said := _letters(numbered[2] or "")) or said in _GRADE_FOLDERS):
        return numbered[1]
    return _GRADE_FOLDERS.get(_letters(folder))


def _letters(text: str) -> str:
    return re.sub(r"[^a-z]", "", text)
