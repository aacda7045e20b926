"""What a caller says beside the photographs: whose they are, which eye, and what picture is wanted. Text, checked."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from clarity.inference.heatmap import Format
from clarity.records import Eye
from clarity.screening.online import Sent
from serving.errors import InvalidParameter
from serving.reply import AskedSubject, Drawing

Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/#+=-]{0,63}$")]
"""No spaces: a column that slipped puts a name anywhere."""


class CaptureAsked(BaseModel):
    """What is said of one photograph. What is not said, the scan that it is already says, or its file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    eye: Literal["left", "right", "unknown"] | None = Field(default=None, description="Of the photograph.")
    field: Word | None = Field(default=None, description="What of the eye it shows.", examples=["macula"])
    visit: Word | None = Field(
        default=None,
        description="The encounter, the same for all its photographs; the day on which the file says that it was "
        "taken, or else today (UTC).",
        examples=["2026-11-22"],
    )
    visit_type: Word | None = Field(default=None, description="screening, where none is said.", examples=["follow-up"])

    def sent(self, data: bytes) -> Sent:
        """With its photograph; an unknown eye is none that is said."""
        eye = Eye(self.eye) if self.eye and self.eye != "unknown" else None
        return Sent(data, eye, self.visit, self.field, self.visit_type)


class Asked(CaptureAsked):
    """Everything that may stand in the address; all but the last three also in the form."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    patient: UUID | None = Field(default=None, description="Whose photograph it is: then it is stored.")
    heatmap: AskedSubject = Field(default="predicted", description="What it explains; referable: grades 2 to 4.")
    format: Format = Field(default="png", description="Of the heatmap; WebP has an eighth of the bytes.")
    inline: bool = Field(default=False, description="The heatmap's picture in the answer also where it is stored.")

    @property
    def drawing(self) -> Drawing:
        """The heatmap that is wanted."""
        return Drawing.of(self.heatmap, self.format)

    def also(self, form: Mapping[str, str]) -> Self:
        """With what the form says. Raises InvalidParameter where a field is not as documented or said two ways."""
        texts = {name: value for name, value in form.items() if name != "captures"}
        try:
            told = type(self).model_validate(texts)
        except ValidationError as error:
            raise _refused(error) from None
        twice = sorted(n for n in texts if getattr(self, n) is not None and getattr(self, n) != getattr(told, n))
        if twice:
            raise InvalidParameter(f"{', '.join(twice)}: the address says otherwise than the form")
        return self.model_copy(update={name: getattr(told, name) for name in texts})

    def each(self, captures: str | None, count: int) -> list[CaptureAsked]:
        """What is said of each photograph: of all, and by ``captures`` (JSON) of each. Raises InvalidParameter."""
        common = CaptureAsked(eye=self.eye, field=self.field, visit=self.visit, visit_type=self.visit_type)
        if captures is None:
            return [common] * count
        try:
            told = _CAPTURES.validate_json(captures)
        except ValidationError as error:
            raise _refused(error, "captures") from None
        if len(told) != count:
            raise InvalidParameter(f"captures: {len(told)} of them, and {count} images")
        return [common.model_copy(update=one.model_dump(exclude_none=True)) for one in told]


_CAPTURES = TypeAdapter(list[CaptureAsked])


def _refused(error: ValidationError, name: str | None = None) -> InvalidParameter:
    """Which field, and not its value: that may be anything, a patient's name too."""
    names = [name] if name else sorted({str(one["loc"][0]) for one in error.errors()})
    return InvalidParameter(f"{', '.join(names)}: not as documented, see /docs")
