"""What a photograph's own file says of it: DICOM tags (PS3.3, C.7.1.1, C.8.17.2, C.12.1.1) and EXIF 2.32 of a JPEG.

Only what attributes it is read: never a name, a birth date or a place.
"""

from collections.abc import Iterator
from io import BytesIO
from typing import TYPE_CHECKING, Any

from PIL import Image

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_TAGS = (
    "SpecificCharacterSet", "PatientID", "ImageLaterality", "Laterality", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence", "AcquisitionDateTime", "AcquisitionDate", "AcquisitionTime", "ContentDate",
    "ContentTime", "StudyDate", "StudyTime", "TimezoneOffsetFromUTC", "Manufacturer", "ManufacturerModelName",
)  # fmt: skip
_DATES = (("AcquisitionDate", "AcquisitionTime"), ("ContentDate", "ContentTime"), ("StudyDate", "StudyTime"))
_META = 4096
_LONGEST = 128
_MAKE, _MODEL, _DETAIL, _TAKEN, _OFFSET = 0x010F, 0x0110, 0x8769, 0x9003, 0x9011


def is_dicom(data: bytes) -> bool:
    """By the four letters after the preamble."""
    return data[128:132] == b"DICM"


def of(data: bytes) -> dict[str, str]:
    """patient, eye, captured_at and camera, those of them that the file says; nothing of a damaged file.

    An eye that its tags contradict comes as both words, which is no eye.
    """
    try:
        said = _dicom(data) if is_dicom(data) else _exif(data) if data.startswith(b"\xff\xd8\xff") else {}
    except Exception:  # noqa: BLE001  a damaged file breaks either library in many ways; its pixels are judged later
        return {}
    kept = {name: value.strip() for name, value in said.items() if value and value.strip()}
    camera = kept.get("camera", "")
    if len(camera) > _LONGEST or not camera.isprintable():
        del kept["camera"]
    return kept


def _dicom(data: bytes) -> dict[str, str]:
    import pydicom  # takes a while, and few photographs need it
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    if f"{DeflatedExplicitVRLittleEndian}".encode() in data[:_META]:
        return {}  # its size is not known before inflating it
    found = pydicom.dcmread(BytesIO(data), stop_before_pixels=True, specific_tags=list(_TAGS))
    eyes = {word for word in map(_word, _lateralities(found)) if word and word != "U"}
    return {
        "patient": _text(found, "PatientID"),
        "eye": "/".join(sorted(eyes)),
        "captured_at": _moment(found),
        "camera": f"{_text(found, 'Manufacturer')} {_text(found, 'ManufacturerModelName')}",
    }


def _lateralities(found: "Dataset") -> Iterator[Any]:
    yield found.get("ImageLaterality")
    yield found.get("Laterality")
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for item in found.get(groups) or ():
            for anatomy in item.get("FrameAnatomySequence") or ():
                yield anatomy.get("FrameLaterality")


def _word(value: Any) -> str:
    return str(value or "").strip().upper()


def _text(found: "Dataset", name: str) -> str:
    return str(found.get(name) or "").strip()


def _moment(found: "Dataset") -> str:
    """ISO 8601 of the first date that is there, with its zone where one is said; empty without a date."""
    zone = _text(found, "TimezoneOffsetFromUTC")
    whole = _text(found, "AcquisitionDateTime")
    if whole:
        digits, sign, offset = whole.partition("+" if "+" in whole else "-")
        return _iso(digits[:8], digits[8:], sign + offset or zone)
    for day, clock in _DATES:
        if _text(found, day):
            return _iso(_text(found, day), _text(found, clock), zone)
    return ""


def _iso(day: str, clock: str, zone: str) -> str:
    """DICOM's DA, TM and offset, any of whose ends may be missing, as ISO 8601."""
    if len(day) < 8:
        return ""
    digits = clock.partition(".")[0].replace(":", "").ljust(6, "0")[:6]
    return f"{day[:4]}-{day[4:6]}-{day[6:8]}T{digits[:2]}:{digits[2:4]}:{digits[4:6]}{zone}"


def _exif(data: bytes) -> dict[str, str]:
    block = _exif_block(data)
    if not block:
        return {}
    exif = Image.Exif()
    exif.load(block)
    detail = exif.get_ifd(_DETAIL)
    day, _, clock = str(detail.get(_TAKEN) or "").partition(" ")
    taken = f"{day.replace(':', '-')}T{clock}{detail.get(_OFFSET) or ''}" if clock and day[:4] > "0000" else ""
    return {"captured_at": taken, "camera": f"{exif.get(_MAKE) or ''} {exif.get(_MODEL) or ''}"}


def _exif_block(data: bytes) -> bytes:
    """The APP1 segment that begins with "Exif", before the first that is no application's."""
    at = 2
    while data[at : at + 1] == b"\xff" and 0xE0 <= data[at + 1] <= 0xEF:
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0":
            return data[at + 4 : at + 2 + length]
        at += 2 + max(length, 2)
    return b""
