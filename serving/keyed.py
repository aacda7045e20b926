"""What routes of records share: the Idempotency-Key, and which problems they document."""

from typing import Annotated, Any

from fastapi import Header

from serving.schemas import Problem

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="Yours, of printable characters: the same request again under it is done once, for "
        "`serving.idempotency_s`, a day unless configured otherwise. Without a patient nothing is stored, and nothing "
        "remembered.",
        examples=["7b1e7f0c-upload-1"],
    ),
]


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For ``responses=``: these statuses are answered as problems."""
    return {status: {"model": Problem} for status in statuses}
