"""A folder of phantoms in the layout that ``sources/phantoms`` reads, drawn in parallel; resumable and repeatable."""

import csv
import io
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from clarity.data.phantoms.drawing import draw
from clarity.data.phantoms.folder import claim, clear, notice, replace
from clarity.data.phantoms.plan import Order, plan
from clarity.data.pool import calm, context
from clarity.errors import SourceError
from clarity.params import PhantomParams
from clarity.records import Image

LICENCE = "CC0-1.0 (synthetic phantom)"
JPEG_QUALITY = 92
_COLUMNS = ("image", "patient", "eye", "field", "grade", "quality", "licence")
_CHUNK = 8


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
        claim(folder, notice(params))
        with _reporting(progress, len(orders)) as report:
            _draw_all(folder, orders, params.size, masks, jobs or os.cpu_count() or 1, report)
        clear(folder, {Path(order.image).stem for order in orders}, masks)
        replace(folder / "labels.csv", _labels(orders).encode())
    except OSError as error:
        raise SourceError(f"{folder}: {error.strerror or error}, the phantoms cannot be written") from error
    except BrokenExecutor as error:
        raise SourceError(f"{folder}: a drawing process ended early, call again to draw what is missing") from error


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
    with ProcessPoolExecutor(min(jobs, len(chunks)), mp_context=context(__name__), initializer=_worker) as pool:
        futures = [pool.submit(_draw_some, folder, chunk, size, masks) for chunk in chunks]
        try:
            for future in as_completed(futures):
                report(future.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _worker() -> None:
    calm()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the caller's to handle; a chunk is done in a second


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
        if masks:
            _write_masks(folder / "masks" / Path(order.image).stem, phantom.masks)
        replace(folder / "photographs" / order.image, encode(phantom.image))  # last: its presence says all is there
    return len(orders)


def _write_masks(target: Path, masks: dict[str, NDArray[np.bool_]]) -> None:
    part = target.with_name(target.name + ".part")
    for stale in (part, target):
        shutil.rmtree(stale, ignore_errors=True)
    part.mkdir(parents=True)
    for kind, mask in masks.items():
        (part / f"{kind}.png").write_bytes(cv2.imencode(".png", mask * np.uint8(255))[1].tobytes())
    part.rename(target)


def _is_drawn(folder: Path, order: Order, masks: bool) -> bool:
    drawn = (folder / "photographs" / order.image).exists()
    return drawn and (not masks or (folder / "masks" / Path(order.image).stem).is_dir())


def _labels(orders: list[Order]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_COLUMNS)
    for order in orders:
        table.writerow((order.image, order.patient, order.eye.value, "macula", order.grade, order.quality, LICENCE))
    return text.getvalue()


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
