"""The photograph in a request's body, a form with a file or the image's bytes: always bytes or a named error."""

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from serving.errors import BodyTooLarge, MalformedBody, MissingImage, UnsupportedBody

FIELD = "image"
_FORM = "multipart/form-data"
_RAW = ("image/", "application/octet-stream", "application/dicom")
_FORM_OVERHEAD = 65_536
"""Bytes that a form may add to its file."""
_MAX_FIELDS = 16


async def photograph(request: Request, max_bytes: int) -> bytes:
    """The uploaded bytes. Raises MalformedBody, UnsupportedBody, MissingImage, BodyTooLarge."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == _FORM:
        return await _from_form(_limited(request, max_bytes + _FORM_OVERHEAD), max_bytes)
    if kind.startswith(_RAW):
        return await _whole(_limited(request, max_bytes), max_bytes)
    said = kind or "no content type"
    raise UnsupportedBody(f"body: {said!r}, neither a form ({_FORM}) nor an image ({', '.join(_RAW)})")


def _limited(request: Request, max_bytes: int) -> Request:
    """The request, refused where it says that it is too long, and cut off where it is longer than it said."""
    said = request.headers.get("content-length", "")
    if said.isdecimal() and int(said) > max_bytes:
        raise BodyTooLarge(f"body: {said} bytes, more than the {max_bytes} taken")
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


async def _from_form(request: Request, max_bytes: int) -> bytes:
    try:
        form = await request.form(max_files=_MAX_FIELDS, max_fields=_MAX_FIELDS, max_part_size=_FORM_OVERHEAD)
    except BodyTooLarge:
        raise
    except ClientDisconnect:
        raise MalformedBody("form: ended before it was whole") from None
    except HTTPException as error:
        raise MalformedBody(f"form: {error.detail}") from None
    except Exception as error:  # noqa: BLE001 - whatever a parser makes of a broken form, the form is the caller's
        raise MalformedBody(f"form: {type(error).__name__}, not a form that can be parsed") from None
    try:
        found = form.get(FIELD)
        if not isinstance(found, UploadFile):
            names = ", ".join(sorted(form)[:_MAX_FIELDS]) or "no field"
            raise MissingImage(f"form: {names}, no file in the field {FIELD!r}")
        return _checked(await found.read(), max_bytes)
    finally:
        await form.close()


def _checked(data: bytes, max_bytes: int) -> bytes:
    if len(data) > max_bytes:
        raise BodyTooLarge(f"image: {len(data)} bytes, more than the {max_bytes} taken")
    return data
