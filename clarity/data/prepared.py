"""The stage ``prepare``: the one imaging path over the whole data set, 256 arrays and a quality table.

artifacts/prepared/<2 hex>.npy holds the photographs whose hash starts so, (n, S, S, 3) uint8 RGB in the order of
index.csv. What was prepared in the same way before is kept, so an interrupted run goes on and added data costs only
itself. "The same way" is the parameters and the text of clarity/imaging, so changed code never leaves old pixels.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clarity import imaging as chain
from clarity.data import manifest, pool
from clarity.data.manifest import photograph_path
from clarity.errors import ClarityError, ManifestError, UnreadableImage
from clarity.params import ImagingParams, Params, QualityParams
from clarity.records import Image

FOLDER = "artifacts/prepared"
INDEX = "index.csv"
COLUMNS = [
    "sha256", "shard", "row", "fingerprint", "score", "gradable", "reasons", "width", "height",
    "crop_left", "crop_top", "crop_side", "field_cx", "field_cy", "field_radius", "field_visible", "recipe",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shard:
    """The photographs whose hash starts with ``prefix``, and how they are prepared."""

    prefix: str
    photographs: tuple[tuple[str, str], ...]
    """(sha256, suffix), sorted."""
    data: Path
    target: Path
    imaging: ImagingParams
    quality: QualityParams
    recipe: str


def prepare_all(
    root: Path, params: Params, *, jobs: int = 0, on_progress: Callable[[int, int], None] = lambda _done, _total: None
) -> Path:
    """Prepare every photograph of data/ below ``root`` and give the path of index.csv (COLUMNS, a row a photograph).

    In ``jobs`` processes (0: one a core). A photograph that cannot be prepared any more is ungradable with its reason.
    Raises ManifestError, UnreadableImage (a process died).
    """
    table = manifest.read(root / "data" / "manifest.csv")
    target = root / FOLDER
    target.mkdir(parents=True, exist_ok=True)
    shards = list(_shards(table, root / "data", target, params))
    done = 0
    for shard, died in pool.run(_prepare_shard, shards, jobs=jobs, chunk=1):
        if isinstance(died, pool.Died):
            raise UnreadableImage(f"photographs {shard.prefix}…: {died.why}")
        done += len(shard.photographs)
        on_progress(done, len(table))
    _forget_others(target, {shard.prefix for shard in shards})
    parts = [pd.read_csv(target / f"{shard.prefix}.csv", dtype=str, keep_default_na=False) for shard in shards]
    temporary = target / f".{INDEX}"
    pd.concat(parts).to_csv(temporary, index=False, lineterminator="\n")
    temporary.replace(target / INDEX)
    return target / INDEX


def read_index(root: Path) -> pd.DataFrame:
    """index.csv with its types: row int, score and geometry float, gradable bool. Raises ManifestError."""
    path = root / FOLDER / INDEX
    try:
        text = dict.fromkeys(("sha256", "shard", "fingerprint", "reasons", "recipe"), str)
        return pd.read_csv(path, dtype=text, keep_default_na=False)
    except OSError as error:
        raise ManifestError(f"{path}: {error.strerror}; the stage prepare makes it") from None


def load_images(root: Path, index: pd.DataFrame) -> NDArray[np.uint8]:
    """(n, S, S, 3) uint8 RGB of the rows of (a part of) the index, in their order."""
    images: NDArray[np.uint8] | None = None
    for shard, rows in index.reset_index(drop=True).groupby("shard"):
        stored = np.load(root / FOLDER / f"{shard}.npy", mmap_mode="r")
        if images is None:
            images = np.empty((len(index), *stored.shape[1:]), np.uint8)
        images[rows.index.to_numpy()] = stored[rows["row"].to_numpy()]
    return images if images is not None else np.empty((0, 0, 0, 3), np.uint8)


def recipe(params: Params) -> str:
    """16 hex digits of everything that a prepared photograph and its quality depend on, the code included."""
    digest = hashlib.sha256(json.dumps([params.imaging.model_dump(), params.quality.model_dump()]).encode())
    for module in sorted(Path(chain.__file__).parent.glob("*.py")):
        digest.update(module.read_bytes())
    return digest.hexdigest()[:16]


def _shards(table: pd.DataFrame, data: Path, target: Path, params: Params) -> Iterator[Shard]:
    how = recipe(params)
    for prefix, rows in table.sort_values("sha256").groupby(table["sha256"].str[:2]):
        photographs = tuple(zip(rows["sha256"], rows["suffix"], strict=True))
        yield Shard(str(prefix), photographs, data, target, params.imaging, params.quality, how)


def _prepare_shard(shard: Shard) -> None:
    """In a worker: write <prefix>.npy and then <prefix>.csv, keeping what an earlier run prepared the same way."""
    part, array = shard.target / f"{shard.prefix}.csv", shard.target / f"{shard.prefix}.npy"
    before = _earlier(part, array, shard.recipe)
    if list(before) == [sha for sha, _ in shard.photographs]:
        return
    old = np.load(array, mmap_mode="r") if before else None
    size = shard.imaging.size
    temporary = shard.target / f".{shard.prefix}.{os.getpid()}.npy"
    try:
        shape = (len(shard.photographs), size, size, 3)
        new = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
        rows = []
        for row, (sha, suffix) in enumerate(shard.photographs):
            if old is not None and sha in before:
                new[row], said = old[before[sha]["row"]], before[sha]
            else:
                new[row], said = _prepare(shard, sha, suffix)
            rows.append(said | {"sha256": sha, "shard": shard.prefix, "row": row, "recipe": shard.recipe})
        new.flush()
        del new, old
        part.unlink(missing_ok=True)  # an array without its table is prepared again, never misread
        temporary.replace(array)
        _write_part(rows, part)
    finally:
        temporary.unlink(missing_ok=True)


def _prepare(shard: Shard, sha: str, suffix: str) -> tuple[Image, dict[str, object]]:
    path = shard.data / photograph_path(sha, suffix)
    try:
        prepared = chain.prepare(path.read_bytes(), shard.imaging, shard.quality)
    except (ClarityError, OSError) as error:
        nothing = np.zeros((shard.imaging.size, shard.imaging.size, 3), np.uint8)
        why = getattr(error, "strerror", None) or str(error)
        return nothing, {"score": 0.0, "gradable": False, "reasons": f"cannot be prepared: {why}"}
    crop, field, quality = prepared.crop, prepared.field, prepared.quality
    return prepared.image, {
        "fingerprint": prepared.fingerprint,
        "score": round(quality.score, 6),
        "gradable": quality.gradable,
        "reasons": "; ".join(quality.reasons),
        "width": prepared.width,
        "height": prepared.height,
        "crop_left": round(crop.left, 3),
        "crop_top": round(crop.top, 3),
        "crop_side": round(crop.side, 3),
        "field_cx": round(field.cx, 3),
        "field_cy": round(field.cy, 3),
        "field_radius": round(field.radius, 3),
        "field_visible": round(field.visible, 4),
    }


def _earlier(part: Path, array: Path, how: str) -> dict[str, dict[str, object]]:
    """Rows of an earlier run by hash, if they were prepared the same way."""
    if not part.exists() or not array.exists():
        return {}
    table = pd.read_csv(part, dtype={"sha256": str, "shard": str, "fingerprint": str, "reasons": str, "recipe": str},
                        keep_default_na=False)  # fmt: skip
    if set(table["recipe"]) != {how}:
        return {}
    return {str(row["sha256"]): {str(k): v for k, v in row.items()} for row in table.to_dict("records")}


def _write_part(rows: list[dict[str, object]], part: Path) -> None:
    temporary = part.with_name(f".{part.name}")
    pd.DataFrame(rows, columns=COLUMNS).to_csv(temporary, index=False, lineterminator="\n")
    temporary.replace(part)


def _forget_others(target: Path, wanted: set[str]) -> None:
    for path in target.iterdir():
        if path.name.startswith(".") or (path.name != INDEX and path.stem not in wanted):
            path.unlink()
