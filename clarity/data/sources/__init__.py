"""One adapter a public data set, for the layouts in which people really have them.

An adapter is a module with NAME, ``recognises(tree)`` and ``read(tree)``; it says what the set's own tables and names
say, and touches no pixel.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from clarity.data.sources import aptos, ddr, deepdrid, eyepacs, folder, idrid, medmnist, messidor2, phantoms
from clarity.data.sources.row import Listing, SourceRow
from clarity.data.sources.tree import Tree, is_image, plant
from clarity.errors import ParameterError, SourceError
from clarity.settings import Settings

__all__ = ["NAMES", "SETS", "Listing", "SourceRow", "detect", "read"]

_SETS: tuple[ModuleType, ...] = (eyepacs, idrid, aptos, messidor2, ddr, deepdrid, medmnist, phantoms)
_ADAPTERS: dict[str, ModuleType] = {module.NAME: module for module in (*_SETS, folder)}
NAMES: tuple[str, ...] = tuple(_ADAPTERS)
SETS = frozenset(module.NAME for module in _SETS)
"""Sources that are one place, whatever folder they lie in."""
_CALLED = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


def read(
    name: str,
    path: str | Path,
    *,
    settings: Settings | None = None,
    options: Mapping[str, str] | None = None,
    called: str = "",
) -> Listing:
    """The rows of a source, and the images that none of them uses.

    ``path`` is a folder, a file or an s3:// prefix; ``options`` name columns for "folder", and
    ``called`` is what its rows and patients have as their source in place of "folder": that of one clinic of several.

    Raises ParameterError (no such adapter, options or a name that it does not take), SourceError, ManifestError.
    """
    if name not in _ADAPTERS:
        raise ParameterError(f"source {name!r}: not one of {', '.join(NAMES)}")
    if (options or called) and name != folder.NAME:
        raise ParameterError(f"source {name}: takes no name and no column names; they are for the source {folder.NAME}")
    if called and (not _CALLED.fullmatch(called) or called in NAMES):
        raise ParameterError(f"name {called!r}: write up to 32 letters, digits, - and _, and not the name of a source")
    tree = plant(path, settings)
    own = (
        folder.read(tree, options, source=called or folder.NAME) if name == folder.NAME else _ADAPTERS[name].read(tree)
    )
    rows = list(own)
    used = {row.read for row in rows}
    return Listing(rows, [file for file in tree.files if is_image(file) and tree.reader(file) not in used])


def detect(path: str | Path, *, settings: Settings | None = None) -> str:
    """The adapter whose layout this is.

    Raises SourceError where none or more than one knows it, ManifestError where that is for its table's columns.
    """
    tree: Tree = plant(path, settings)
    known = [module.NAME for module in _SETS if module.recognises(tree)]
    if not known and folder.recognises(tree):
        return folder.NAME
    if len(known) == 1:
        return str(known[0])
    if not known:
        folder.explain(tree)
    verdict = f"could be {' or '.join(known)}" if known else "not a layout that Clarity knows"
    raise SourceError(f"{tree.place}: {verdict}; say which with --source ({', '.join(NAMES)})")
