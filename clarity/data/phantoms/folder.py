"""A folder that says that it holds phantoms, and keeps to those that belong to its parameters."""

import shutil
from hashlib import sha256
from pathlib import Path

from clarity.errors import SourceError
from clarity.params import PhantomParams

_NOTICE = """These are phantoms: drawings made by a program (clarity.data.phantoms) from random numbers.

No photograph here shows an eye, and no patient here exists. They are for demonstrations, for tests, and for judging
heatmaps. A figure measured on them says nothing about real eyes and must never be shown as a clinical one.

labels.csv   image, patient, eye, field, grade (ICDR, 0-4), quality (good, usable, reject), licence
masks/       where drawn: one folder a photograph, one PNG a kind of lesion, 255 where the lesion is
"""


def notice(params: PhantomParams) -> str:
    """Says what the phantoms are, and what their bytes depend on: parameters and the drawing code."""
    code = sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        code.update(source.read_bytes())
    values = params.model_dump(exclude={"count"})
    drawn = "\n".join(f"{name}: {value}" for name, value in values.items())
    return f"{_NOTICE}\n{drawn}\ngenerator: {code.hexdigest()[:16]}\n"


def claim(folder: Path, said: str) -> None:
    """Make the folder ours; forget what was drawn with other parameters.

    Raises SourceError where the folder holds other files than phantoms.
    """
    mark = folder / "PHANTOMS.txt"
    if folder.exists() and not mark.exists() and any(folder.iterdir()):
        raise SourceError(f"{folder}: not empty and without PHANTOMS.txt, phantoms are not written among other files")
    if mark.exists() and mark.read_text(encoding="utf-8") != said:
        for name in ("photographs", "masks"):
            shutil.rmtree(folder / name, ignore_errors=True)
        (folder / "labels.csv").unlink(missing_ok=True)
    (folder / "photographs").mkdir(parents=True, exist_ok=True)
    replace(mark, said.encode())


def clear(folder: Path, stems: set[str], masks: bool) -> None:
    """Remove photographs and masks of other phantoms than those of the given stems."""
    for path in (folder / "photographs").iterdir():
        if path.stem not in stems or path.suffix != ".jpg":
            path.unlink()
    if not masks:
        shutil.rmtree(folder / "masks", ignore_errors=True)
    for path in (folder / "masks").iterdir() if masks else ():
        if path.name not in stems:
            shutil.rmtree(path)


def replace(path: Path, data: bytes) -> None:
    """Write whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.replace(path)
