"""A folder of phantoms in the layout that ``sources/phantoms`` reads, drawn in parallel; resumable and repeatable."""

import csv
import io
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import Progress

from clarity.data.phantoms.drawing import draw
from clarity.data.phantoms.plan import Order, plan
from clarity.errors import SourceError
from clarity.params import PhantomParams
from clarity.records import Image

LICENCE = "CC0-1.0 (synthetic phantom)"
JPEG_QUALITY = 92
_COLUMNS = ("image", "patient", "eye", "field", "grade", "quality", "licence")
_CHUNK = 8
_NOTICE = """These are phantoms: drawings made by a program (clarity.data.phantoms) from random numbers.

No photograph here shows an eye, and no patient here exists. They are for demonstrations, for tests, and for judging
heatmaps. A figure measured on them says nothing about real eyes and must never be shown as a clinical one.

labels.csv   image, patient, eye, field, grade (ICDR, 0-4), quality (good, usable, reject), licence
masks/       where drawn: one folder a photograph, one PNG a kind of lesion, 255 where the lesion is
"""


def write(
    folder: Path | str,
    params: PhantomParams,
    count: int | None = None,
    *,
    masks: bool = False,
    jobs: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Draw ``count`` phantoms (the configuration's number if None) into ``folder``.

    Gives ``photographs/*.jpg``, ``labels.csv``, ``PHANTOMS.txt``, and ``masks/<image's stem>/<kind>.png`` if
    ``masks``. What an interrupted call has drawn is kept; what belongs to other parameters is drawn anew; afterwards
    the folder holds these phantoms and no others. ``jobs`` processes, 0 for one a core. ``progress`` is called with
    (done, of); None shows a bar where stderr is a terminal. Raises SourceError: the folder holds something else, or
    cannot be written.
    """
    folder, orders = Path(folder), plan(params, count)
    try:
        _claim(folder, _notice(params))
        with _reporting(progress, len(orders)) as report:
            _draw_all(folder, orders, params.size, masks, jobs or os.cpu_count() or 1, report)
        _clear(folder, {Path(order.image).stem for order in orders}, masks)
        _replace(folder / "labels.csv", _labels(orders).encode())
    except OSError as error:
        raise SourceError(f"{folder}: {error.strerror or error}, the phantoms cannot be written") from error


def encode(image: Image) -> bytes:
    """JPEG bytes of an RGB image, without metadata. libjpeg-turbo's integer transform is the same on any processor."""
    done, data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise SourceError(f"phantom of shape {image.shape}: could not be encoded as JPEG")
    return bytes(data.tobytes())


def _draw_all(
    folder: Path, orders: list[Order], size: int, masks: bool, jobs: int, report: Callable[[int], None]
) -> None:
    missing = [order for order in orders if not _is_drawn(folder, order, masks)]
    report(len(orders) - len(missing))
    chunks = [missing[start : start + _CHUNK] for start in range(0, len(missing), _CHUNK)]
    if jobs == 1 or len(chunks) < 2:
        for order in missing:
            _draw_some(folder, [order], size, masks)
            report(1)
        return
    spawn = multiprocessing.get_context("spawn")  # a fork would copy the threads of Prefect or PyTorch in mid-lock
    with ProcessPoolExecutor(min(jobs, len(chunks)), mp_context=spawn, initializer=_one_thread) as pool:
        futures = [pool.submit(_draw_some, folder, chunk, size, masks) for chunk in chunks]
        try:
            for future in as_completed(futures):
                report(future.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _one_thread() -> None:
    cv2.setNumThreads(1)


def _draw_some(folder: Path, orders: list[Order], size: int, masks: bool) -> int:
    for order in orders:
        phantom = draw(
            order.seed,
            order.grade,
            size=size,
            eye=order.eye,
            quality=order.quality,
            patient_seed=order.patient_seed,
        )
        stem = Path(order.image).stem
        if masks:
            for kind, mask in phantom.masks.items():
                _replace(
                    folder / "masks" / stem / f"{kind}.png", cv2.imencode(".png", mask * np.uint8(255))[1].tobytes()
                )
            (folder / "masks" / stem).mkdir(parents=True, exist_ok=True)
        _replace(folder / "photographs" / order.image, encode(phantom.image))  # last: its presence says all is there
    return len(orders)


def _is_drawn(folder: Path, order: Order, masks: bool) -> bool:
    drawn = (folder / "photographs" / order.image).exists()
    return drawn and (not masks or (folder / "masks" / Path(order.image).stem).is_dir())


def _notice(params: PhantomParams) -> str:
    """Says what the phantoms are, and what their bytes depend on: parameters and the drawing code."""
    code = sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        code.update(source.read_bytes())
    values = params.model_dump(exclude={"count"})
    drawn = "\n".join(f"{name}: {value}" for name, value in values.items())
    return f"{_NOTICE}\n{drawn}\ngenerator: {code.hexdigest()[:16]}\n"


def _claim(folder: Path, notice: str) -> None:
    """Make the folder ours; forget what was drawn with other parameters."""
    mark = folder / "PHANTOMS.txt"
    if folder.exists() and not mark.exists() and any(folder.iterdir()):
        raise SourceError(f"{folder}: not empty and without PHANTOMS.txt, phantoms are not written among other files")
    if mark.exists() and mark.read_text(encoding="utf-8") != notice:
        for name in ("photographs", "masks"):
            shutil.rmtree(folder / name, ignore_errors=True)
        (folder / "labels.csv").unlink(missing_ok=True)
    (folder / "photographs").mkdir(parents=True, exist_ok=True)
    _replace(mark, notice.encode())


def _clear(folder: Path, stems: set[str], masks: bool) -> None:
    for path in (folder / "photographs").iterdir():
        if path.stem not in stems or path.suffix != ".jpg":
            path.unlink()
    if not masks:
        shutil.rmtree(folder / "masks", ignore_errors=True)
    for path in (folder / "masks").iterdir() if masks else ():
        if path.name not in stems:
            shutil.rmtree(path)


def _labels(orders: list[Order]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_COLUMNS)
    for order in orders:
        table.writerow((order.image, order.patient, order.eye.value, "macula", order.grade, order.quality, LICENCE))
    return text.getvalue()


def _replace(path: Path, data: bytes) -> None:
    """Write whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.replace(path)


@contextmanager
def _reporting(progress: Callable[[int, int], None] | None, total: int) -> Iterator[Callable[[int], None]]:
    if progress is not None:
        done = 0

        def tell(step: int) -> None:
            nonlocal done
            done += step
            progress(done, total)

        yield tell
        return
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("Drawing phantoms", total=total)
        yield lambda step: bar.advance(task, step)
