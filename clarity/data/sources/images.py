"""The photographs of a tree, found as tables write them: exactly, else more and more leniently, never by guessing."""

import unicodedata
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from clarity.data.sources.tree import Tree, is_image

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Found:
    """What a table's cell means."""

    name: str
    """The file's name in its tree; the cell itself where it means none, or several."""
    read: Callable[[], bytes] | None = None
    stamp: str = ""
    problem: str = ""
    """Why it is not known which file is meant: "means 2 files: A/1.jpg, B/1.jpg"."""


class Images:
    """Finds a tree's photographs by path, by file name, or by file name without its suffix."""

    def __init__(self, tree: Tree, under: str = "") -> None:
        """Only files whose path starts with ``under`` (a folder name, relative)."""
        self.tree = tree
        self._prefix = under.strip("/") + "/" if under.strip("/") else ""
        self.names = [name for name in tree.files if name.startswith(self._prefix) and is_image(name)]
        self._by: list[dict[str, list[str]]] = [defaultdict(list) for _ in _FORMS]
        for name in self.names:
            for index, form in zip(self._by, _FORMS, strict=True):
                index[form(name.removeprefix(self._prefix))].append(name)

    def find(self, written: str) -> Found:
        """The one file that fits in the strictest form in which any fits. Never raises."""
        cell = written.strip()
        meant = self._meant(cell)
        if len(meant) == 1:
            return Found(meant[0], self.tree.reader(meant[0]), self.tree.files[meant[0]])
        shown = ", ".join(meant[:_SHOWN]) + (", …" if len(meant) > _SHOWN else "")
        return Found(cell, problem=f"means {len(meant)} files: {shown}" if meant else "")

    def _meant(self, cell: str) -> list[str]:
        if is_image(cell) and self._prefix + cell in self.tree.files:
            return [self._prefix + cell]
        wanted = cell.replace("\\", "/").lstrip("./")
        for index, form in zip(self._by, _FORMS, strict=True):
            if names := index.get(form(wanted)):
                ends = "/" + _bare(wanted)
                return [name for name in names if ("/" + _bare(name)).endswith(ends)] or names
        return []


def _path(text: str) -> str:
    return unicodedata.normalize("NFC", text)  # what one system composes, another takes apart


def _base(text: str) -> str:
    return PurePosixPath(_path(text)).name


def _stem(text: str) -> str:
    return PurePosixPath(text).stem if is_image(text) else text


def _bare(text: str) -> str:
    path = PurePosixPath(_path(text).lower())
    return str(path.with_suffix("")) if is_image(path.name) else str(path)


_FORMS: tuple[Callable[[str], str], ...] = (
    _path,
    lambda text: _path(text).lower(),
    _base,
    lambda text: _base(text).lower(),
    lambda text: _stem(_base(text)),
    lambda text: _stem(_base(text)).lower(),
)
"""From the strictest; a file and a cell fit in a form where it makes the same of both."""
