"""A source's own csv, read forgivingly where sets are careless and strictly where a mistake would mislabel an eye."""

import csv
import io
from collections.abc import Iterable, Iterator

from clarity.data.sources.tree import Tree
from clarity.errors import ManifestError, SourceError

Row = dict[str, str]


def read(tree: Tree, name: str, *, need: Iterable[str] = ()) -> list[Row]:
    """Rows of a csv as dictionaries; headers and cells are stripped, empty columns and empty rows dropped.

    Comma, semicolon or tab; UTF-8 with or without a byte-order mark. Raises ManifestError (a needed column is missing,
    not text) and SourceError (the file cannot be read).
    """
    try:
        text = tree.reader(name)().decode("utf-8-sig")
    except OSError as error:
        raise SourceError(f"{tree.place}/{name}: {error.strerror}, cannot be read") from None
    except UnicodeDecodeError:
        raise ManifestError(f"{tree.place}/{name}: not UTF-8 text; save it as UTF-8") from None
    rows = list(_rows(text))
    header = list(rows[0]) if rows else [h.strip() for h in text.split("\n", 1)[0].split(",")]
    missing = [column for column in need if column not in header]
    if missing:
        raise ManifestError(
            f"{tree.place}/{name}: no column {', '.join(map(repr, missing))}; it has {', '.join(filter(None, header))}"
        )
    return rows


def columns(tree: Tree, name: str) -> list[str]:
    """Only the header, for recognising a layout; empty where the file is no csv."""
    try:
        rows = read(tree, name)
    except (ManifestError, SourceError):
        return []
    return list(rows[0]) if rows else []


def pick(header: Iterable[str], aliases: Iterable[str]) -> str | None:
    """The first column whose name, without case, blanks and underscores, is one of the aliases."""
    plain = {_plain(column): column for column in header}
    return next((plain[_plain(alias)] for alias in aliases if _plain(alias) in plain), None)


def _rows(text: str) -> Iterator[Row]:
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    header = [cell.strip() for cell in next(reader, [])]
    for cells in reader:
        row = {h: c.strip() for h, c in zip(header, cells + [""] * len(header), strict=False) if h}
        if any(row.values()):
            yield row


def _plain(text: str) -> str:
    return text.lower().replace("_", "").replace(" ", "").replace("-", "")
