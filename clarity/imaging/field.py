"""The field of view of a fundus photograph: a disc, brighter than its surround, whose edge is part of a circle.

It is searched on a thumbnail. Colour and texture are not asked here; ``quality`` judges what the disc shows.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from clarity.errors import NotFundus
from clarity.imaging import disc
from clarity.imaging.view import View, coarsened, coarsest, full
from clarity.records import Field, Image

_THUMBNAIL = 192
"""The thumbnail's longer side, in pixels, is at least this and less than twice this. Its pixels are the means of the
same squares of the original at whatever size that was decoded, so that the circle is the same."""
_DARK_FRAME = 40


def find_field(image: Image) -> Field:
    """The circle of the field of view in (H, W, 3) uint8 RGB, also where top, bottom or sides of it are cut off.

    Raises NotFundus where no disc with a clear edge is found.
    """
    return in_view(full(image))


def in_view(view: View) -> Field:
    """The same in a photograph that may be decoded at a fraction; the circle is in pixels of the original."""
    small = coarsened(view, coarsest(max(view.width, view.height), _THUMBNAIL))
    # A JPEG's last pixels may be only part picture; at full size they would not be there.
    down, across = (max(1, side // small.factor) for side in (view.height - view.top, view.width - view.left))
    red, green, blue = cv2.split(small.image[:down, :across])
    light, shade = cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue)
    rows, columns = _within_border(light)
    found = disc.search(light[rows, columns], shade[rows, columns])
    if found is None:
        raise NotFundus(f"image: {view.width} x {view.height} pixels, no field of view found")
    return Field(
        (found.cx + columns.start + 0.5) * small.factor - 0.5 + view.left,
        (found.cy + rows.start + 0.5) * small.factor - 0.5 + view.top,
        found.radius * small.factor,
        disc.visible(found, columns.stop - columns.start, rows.stop - rows.start),
    )


def whole(width: int, height: int) -> Field:
    """The largest disc in the middle of a photograph: what is shown where no field of view was found."""
    return Field((width - 1) / 2, (height - 1) / 2, min(width, height) / 2, 1.0)


def _within_border(light: disc.Grey) -> tuple[slice, slice]:
    """Rows and columns of what remains when plain strips that are not black are taken off all sides."""
    top, bottom = _plain(light), _plain(light[::-1])
    left, right = _plain(light.T), _plain(light.T[::-1])
    height, width = light.shape
    if top + bottom > height // 2 or left + right > width // 2:
        return slice(0, height), slice(0, width)
    return slice(top, height - bottom), slice(left, width - right)


def _plain(light: disc.Grey) -> int:
    """How many rows from the first are of one tone, brighter than the dark around a field of view."""
    edge = light[:3]
    if edge.max() <= _DARK_FRAME or not _one_tone(edge).any():  # most are dark, and sorting would say so slower
        return 0
    plain = _one_tone(light)
    start = int(plain.argmax())
    ended = ~plain[start:]
    return start + int(ended.argmax()) + 1 if ended.any() else len(light)


def _one_tone(light: disc.Grey) -> NDArray[np.bool_]:
    ordered, last = np.sort(light, axis=1), light.shape[1] - 1
    low, middle, high = (ordered[:, round(share * last)].astype(int) for share in (0.02, 0.5, 0.98))
    one: NDArray[np.bool_] = (high - low < 16) & (middle > _DARK_FRAME)
    return one
