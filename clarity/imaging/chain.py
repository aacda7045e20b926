"""The one path from a photograph's bytes to a prepared image: training, batch screening and HTTP all pass here."""

from clarity.errors import NotFundus
from clarity.imaging import fundus, quality
from clarity.imaging.decode import decode
from clarity.imaging.field import enlarge, find_field, shrink, whole
from clarity.imaging.fingerprint import fingerprint
from clarity.params import ImagingParams, QualityParams
from clarity.records import Field, Image, Prepared


def prepare(data: bytes, imaging: ImagingParams, quality_params: QualityParams) -> Prepared:
    """Bytes to a prepared photograph with its quality. The same bytes and parameters give the same pixels.

    An ungradable capture is prepared too, and says so in ``quality``; where no field of view is found, the image is
    the middle of the photograph. Raises UnreadableImage and ImageTooLarge.
    """
    return prepare_image(decode(data, imaging), imaging, quality_params)


def prepare_image(image: Image, imaging: ImagingParams, quality_params: QualityParams) -> Prepared:
    """The chain after decoding: oriented (H, W, 3) uint8 RGB to a prepared photograph. ``image`` is not changed."""
    height, width = image.shape[:2]
    small, scale = shrink(image)
    found = _find(small)
    verdict = quality.assess(small, found, quality_params)
    field = enlarge(found, scale) if found else whole(width, height)
    area = fundus.square(field)
    view = fundus.crop(image, area, imaging.size)
    outside = ~fundus.inside(field, area, imaging.size) if found else None
    if outside is not None:
        view[outside] = 0
    view = fundus.equalise(view, clip_limit=imaging.clahe_clip_limit, tiles=imaging.clahe_tiles)
    if outside is not None:
        view[outside] = 0
    return Prepared(view, area, field, verdict, width, height, fingerprint(imaging))


def _find(small: Image) -> Field | None:
    try:
        return find_field(small)
    except NotFundus:
        return None
