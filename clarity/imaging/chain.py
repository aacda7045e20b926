"""The one path from a photograph's bytes to a prepared image: training, batch screening and HTTP all pass here.

No more is decoded than the prepared image and the quality gate can show. What comes out is that of the photograph at
full size, within two grey levels, because every size looks at the same squares of the original.
"""

import math

from clarity.errors import NotFundus
from clarity.imaging import fundus, quality
from clarity.imaging.decode import at_scale
from clarity.imaging.field import in_view, whole
from clarity.imaging.fingerprint import fingerprint
from clarity.imaging.view import View, coarsened, coarsest, full
from clarity.params import ImagingParams, QualityParams
from clarity.records import Field, Image, Prepared

_OVER = 1.9
"""Less than 2, as cameras' numbers of pixels would lie on the border."""


def prepare(data: bytes, imaging: ImagingParams, quality_params: QualityParams) -> Prepared:
    """Bytes to a prepared photograph with its quality. The same bytes and parameters give the same pixels.

    An ungradable capture is prepared too, and says so in ``quality``; where no field of view is found, the image is
    the middle of the photograph. Raises UnreadableImage and ImageTooLarge.
    """
    least, fine = _least(imaging), _fine(imaging)
    view = at_scale(data, imaging, least=fine)
    found = _find(view)
    if found and 2 * found.radius < least * view.factor > least:  # a small field of view: decoded again, finer
        share = 2 * found.radius / min(view.width, view.height)
        view = at_scale(data, imaging, least=math.ceil(fine / share))
    return _finish(view, found, imaging, quality_params)


def prepare_image(image: Image, imaging: ImagingParams, quality_params: QualityParams) -> Prepared:
    """The chain after decoding: oriented (H, W, 3) uint8 RGB to a prepared photograph. ``image`` is not changed."""
    view = full(image)
    return _finish(view, _find(view), imaging, quality_params)


def _finish(view: View, found: Field | None, imaging: ImagingParams, quality_params: QualityParams) -> Prepared:
    field = found or whole(view.width, view.height)
    area = fundus.square(field)
    view = coarsened(view, coarsest(area.side, _least(imaging)))
    verdict = quality.assess(view, found, area, quality_params)
    image = fundus.crop(view, area, imaging.size)
    mask = fundus.inside(imaging.size) if found else None
    image = image if mask is None else fundus.only(image, mask)
    image = fundus.equalise(image, clip_limit=imaging.clahe_clip_limit, tiles=imaging.clahe_tiles)
    image = image if mask is None else fundus.only(image, mask)
    return Prepared(image, area, field, verdict, view.width, view.height, fingerprint(imaging))


def _least(imaging: ImagingParams) -> int:
    """Pixels across the field of view below which something would be lost.

    Not the needed numbers themselves: fields of view of common cameras (768, 1024, 3400 across) would lie on the border
    between two sizes, and a breath of noise would choose. A twentieth less does not change what the gate measures.
    """
    return round(max(1.02 * imaging.size, 0.95 * quality.SIDE))


def _fine(imaging: ImagingParams) -> int:
    """Pixels of the shorter side that are decoded: about four to each that is shown, or all there are.

    Decoded at half its size, one value in ten of the cropped image is rounded otherwise than from the full decode, and
    CLAHE makes a step of one to several. A network of 384 pixels, unsure of most, then graded 97.5 % of 1,150
    photographs as from their full decode; so it is 99.7 %, mostly of photographs that are decoded whole.
    """
    return max(_least(imaging), round(_OVER * imaging.size))


def _find(view: View) -> Field | None:
    try:
        return in_view(view)
    except NotFundus:
        return None
