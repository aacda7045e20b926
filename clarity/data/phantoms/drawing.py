"""One phantom from a seed: anatomy, vessels, lesions, light, camera, in this order."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clarity.data.phantoms import grading
from clarity.data.phantoms.anatomy import Anatomy, anatomy, quadrant, view
from clarity.data.phantoms.background import Planes, light, paint
from clarity.data.phantoms.burden import Burden, burden
from clarity.data.phantoms.camera import QUALITIES, capture, expose
from clarity.data.phantoms.canvas import Canvas
from clarity.data.phantoms.exact import Dice, Floats, sin
from clarity.data.phantoms.lesions import Placed, place
from clarity.data.phantoms.looks import look
from clarity.data.phantoms.vessels import Vessels, grow
from clarity.grades import is_grade
from clarity.records import Eye, Field, Image

_ATTEMPTS = 8


@dataclass(frozen=True, slots=True)
class Phantom:
    """A drawn fundus photograph; never a patient's, and never evidence about one."""

    image: Image
    """(H, W, 3) uint8 RGB; H is the size asked for, W from H to 1.25 H."""
    grade: int
    """The ICDR grade that the rule gives for ``inventory``."""
    masks: dict[str, NDArray[np.bool_]]
    """(H, W) by kind of lesion, only kinds that are there."""
    quality: str
    defects: tuple[str, ...]
    eye: Eye
    field: Field
    inventory: Burden
    """Lesions drawn, by kind, in the four quadrants."""


def draw(
    seed: int,
    grade: int,
    *,
    size: int,
    eye: Eye,
    quality: str = "good",
    patient_seed: int | None = None,
) -> Phantom:
    """A fundus photograph of the given ICDR grade; the same arguments give the same bytes on any processor.

    ``size`` is the height in pixels, at least 64. Eyes drawn with one ``patient_seed`` share pigment and camera, and
    nothing else. Raises ValueError for a grade, an eye, a quality or a size that there is not.
    """
    _check(grade, size, eye, quality)
    style = look(Dice(seed if patient_seed is None else patient_seed, 1))
    shot = capture(Dice(seed, 2), quality)
    where = anatomy(Dice(seed, 3), style)
    frame = view(Dice(seed, 4), style, size, eye, shot.shift)
    vessels = grow(Dice(seed, 5), where, style)
    canvas, placed = _diseased(seed, grade, Canvas(frame), where, vessels)
    planes = paint(Dice(seed, 7), frame, where, style)
    _stain(planes, canvas)
    image = expose(Dice(seed, 9), planes, light(Dice(seed, 8), frame, style), frame, style, shot)
    masks = {kind: canvas.masks[kind].astype(bool) for kind in grading.KINDS if kind in canvas.masks}
    return Phantom(image, grade, masks, quality, shot.defects, eye, frame.field(), placed.inventory())


def _check(grade: int, size: int, eye: Eye, quality: str) -> None:
    if not is_grade(grade):
        raise ValueError(f"grade {grade!r}: not one of the ICDR grades 0 to 4")
    if size < 64:
        raise ValueError(f"size {size}: a phantom is at least 64 pixels high")
    if eye not in (Eye.LEFT, Eye.RIGHT):
        raise ValueError(f"eye {eye!r}: neither left nor right")
    if quality not in QUALITIES:
        raise ValueError(f"quality {quality!r}: not one of {', '.join(QUALITIES)}")


def _diseased(seed: int, grade: int, blank: Canvas, where: Anatomy, vessels: Vessels) -> tuple[Canvas, Placed]:
    """Lesions and vessels; drawn anew with other counts where too few found room for the grade."""
    for attempt in range(_ATTEMPTS):
        dice = Dice(seed, 6, attempt)
        canvas = Canvas(blank.view)
        wanted = burden(dice, grade)
        widths, beaded = _bead(vessels, where, canvas, wanted.get(grading.BEADING, grading.NONE))
        _lay(canvas, vessels, widths)
        placed = place(dice, canvas, where, wanted)
        for region, found in enumerate(beaded):
            if found:
                placed.note(grading.BEADING, region)
        if grading.grade_of(placed.inventory()) == grade:
            return canvas, placed
    raise ValueError(f"seed {seed}: no room for the lesions of grade {grade} in {_ATTEMPTS} attempts")


def _bead(vessels: Vessels, where: Anatomy, canvas: Canvas, wanted: grading.Counts) -> tuple[Floats, list[bool]]:
    """Vein widths with sausage-like swellings in the wanted quadrants; and where a long enough stretch was seen."""
    widths, found = vessels.width.copy(), [False] * 4
    veins = np.flatnonzero(vessels.vein[: vessels.trunks] & (vessels.width[: vessels.trunks, 0] > 0.018))
    for region in (index for index, count in enumerate(wanted) if count):
        for vein in veins:
            x, y = vessels.x[vein], vessels.y[vein]
            seen = (quadrant(where, x, y) == region) & canvas.view.sees(x, y, 0.05) & (widths[vein] > 0)
            dx, dy = x - where.disc[0], y - where.disc[1]
            seen &= dx * dx + dy * dy > (1.3 * where.disc_radius) * (1.3 * where.disc_radius)
            if seen.sum() < 8:
                continue
            along = np.arange(len(x)) * (vessels.length[vein] / (len(x) - 1))
            swelling = 1.1 + 0.55 * sin(along * 62.0)
            widths[vein] = np.where(seen, widths[vein] * swelling, widths[vein])
            canvas.stroke("beads", *_stretch(x, y, widths[vein], seen), 0, grading.BEADING)
            found[region] = True
    return widths, found


def _stretch(x: Floats, y: Floats, width: Floats, seen: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    return x[seen], y[seen], width[seen]


def _lay(canvas: Canvas, vessels: Vessels, widths: Floats) -> None:
    """Thin vessels first; a light reflex runs along the middle of the wide ones."""
    for k in np.argsort(widths[:, 0], kind="stable"):
        if widths[k, 0] < 0.003:
            continue
        layer, value, reflex = ("vein", 205.0, 0.22) if vessels.vein[k] else ("artery", 190.0, 0.34)
        canvas.stroke(layer, vessels.x[k], vessels.y[k], widths[k], value)
        if widths[k, 0] > 0.013:
            canvas.stroke(layer, vessels.x[k], vessels.y[k], widths[k] * reflex, value * 0.66)


def _stain(planes: Planes, canvas: Canvas) -> None:
    """Blood takes light away; exudates and cotton-wool spots cover what is under them."""
    for layer, blur, losses in (
        ("artery", 0.0, (0.07, 0.42, 0.36)),
        ("vein", 0.0, (0.24, 0.58, 0.46)),
        ("leak", 0.05, (0.30, 0.70, 0.60)),
        ("blood", 0.004, (0.38, 0.78, 0.70)),
        ("pool", 0.016, (0.50, 0.88, 0.82)),
    ):
        if layer in canvas.layers:
            taken = canvas.opacity(layer, blur=blur)
            for channel, loss in enumerate(losses):
                planes[channel] *= 1.0 - np.float32(loss) * taken
    for layer, blur, share, colour in (
        ("cotton", 0.018, 0.85, (238.0, 220.0, 182.0)),
        ("exudate", 0.002, 0.92, (250.0, 226.0, 122.0)),
    ):
        if layer in canvas.layers:
            alpha = np.float32(share) * canvas.opacity(layer, blur=blur)
            for channel in range(3):
                planes[channel] += alpha * (np.float32(colour[channel]) - planes[channel])
