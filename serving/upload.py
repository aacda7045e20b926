"""What stands in a request's body, a form or an image's bytes: photographs and texts, or a named error."""

import mimetypes
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from serving.errors import BodyTooLarge, InvalidParameter, MalformedBody, MissingImage, UnsupportedBody

FIELD = "image"
FIELDS = ("patient", "eye", "field", "visit", "visit_type", "captures")
"""Texts that a form may have beside its photographs. Others are not looked at."""
_FORM = "multipart/form-data"
_RAW = ("image/", "application/octet-stream", "application/dicom")
_KNOWN = {*mimetypes.types_map.values(), "application/x-www-form-urlencoded"}
"""Content types that may be repeated to a caller: a header can hold anything, a patient's name too."""
_FORM_OVERHEAD = 65_536
"""Bytes that a form may add to its files."""
_MAX_FIELDS = 16
LONGEST = {"captures": 32_768}
"""Characters of a text, where they may be more than ``_SHORT``."""
_SHORT = 128


@dataclass(frozen=True, slots=True)
class Upload:
    """What a body held: at least one file, and those of ``FIELDS`` that have a text."""

    files: list[bytes]
    fields: dict[str, str]


async def photograph(request: Request, max_bytes: int) -> bytes:
    """The one uploaded photograph. Raises as ``parts``."""
    return (await parts(request, max_bytes, 1)).files[0]


async def parts(request: Request, max_bytes: int, max_files: int, field: str = FIELD) -> Upload:
    """The photographs of a body, those of a form in ``field``, each of at most ``max_bytes``; the texts beside them.

    A body that is itself an image has no texts: they stand in the address then. Raises MalformedBody, UnsupportedBody,
    MissingImage, InvalidParameter (a text, or more photographs than ``max_files``), BodyTooLarge.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == _FORM:
        return await _from_form(limited(request, max_files * max_bytes + _FORM_OVERHEAD), max_bytes, max_files, field)
    if kind.startswith(_RAW):
        return Upload([await _whole(limited(request, max_bytes), max_bytes)], {})
    said = (repr(kind) if kind in _KNOWN else "of a type that is not known") if kind else "no content type"
    raise UnsupportedBody(f"body: {said}, neither a form ({_FORM}) nor an image ({', '.join(_RAW)})")


def limited(request: Request, max_bytes: int) -> Request:
    """The request, refused where it says that it is too long, and cut off where it is longer than it said."""
    said = request.headers.get("content-length", "")
    if said.isdecimal() and int(said[:20]) > max_bytes:
        raise BodyTooLarge(f"body: {said[:20]} bytes, more than the {max_bytes} taken")
    receive, seen = request.receive, 0

    async def counted() -> dict[str, object]:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > max_bytes:
            raise BodyTooLarge(f"body: more than the {max_bytes} bytes taken")
        return dict(message)

    return Request(request.scope, counted)


async def _whole(request: Request, max_bytes: int) -> bytes:
    try:
        data = await request.body()
    except ClientDisconnect:
        raise MalformedBody("body: ended before it was whole") from None
    return _checked(data, max_bytes)


async def _from_form(request: Request, max_bytes: int, max_files: int, field: str) -> Upload:
    try:
        form = await request.form(
            max_files=max_files + _MAX_FIELDS, max_fields=_MAX_FIELDS, max_part_size=_FORM_OVERHEAD
        )
    except BodyTooLarge:
        raise
    except ClientDisconnect:
        raise MalformedBody("form: ended before it was whole") from None
    except HTTPException as error:
        raise MalformedBody(f"form: {error.detail}") from None
    except Exception as error:  # noqa: BLE001 - whatever a parser makes of a broken form, the form is the caller's
        raise MalformedBody(f"form: {type(error).__name__}, not a form that can be parsed") from None
    try:
        found = [value for value in form.getlist(field) if isinstance(value, UploadFile)]
        if not found:
            raise MissingImage(f"form: {len(form.multi_items())} fields, no file in one that is called {field!r}")
        if len(found) > max_files:
            raise InvalidParameter(f"{field}: {len(found)} files, more than the {max_files} taken")
        fields = _texts(form.multi_items())
        return Upload([_checked(await one.read(), max_bytes) for one in found], fields)
    finally:
        await form.close()


def _texts(items: Iterable[tuple[str, UploadFile | str]]) -> dict[str, str]:
    """The texts of ``FIELDS``; an empty one counts as not given. Raises InvalidParameter, which repeats none."""
    texts: dict[str, str] = {}
    for name, value in items:
        if name not in FIELDS or value == "":
            continue
        if not isinstance(value, str):
            raise InvalidParameter(f"{name}: a file, not a text")
        if name in texts:
            raise InvalidParameter(f"{name}: said twice")
        longest = LONGEST.get(name, _SHORT)
        if len(value) > longest or not (value.isprintable() or name in LONGEST):
            raise InvalidParameter(f"{name}: {len(value)} characters, not at most {longest} printable ones")
        texts[name] = value
    return texts


def _checked(data: bytes, max_bytes: int) -> bytes:
    if len(data) > max_bytes:
        raise BodyTooLarge(f"image: {len(data)} bytes, more than the {max_bytes} taken")
    return data
