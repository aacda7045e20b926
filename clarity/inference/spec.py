"""What a bundle says of itself: ``bundle.json``, typed, malformed ones refused and the key named."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from clarity import grades
from clarity.errors import BundleError
from clarity.inference import environment
from clarity.inference.abstention import Abstention
from clarity.inference.canary import Canary
from clarity.inference.decision import Decision
from clarity.inference.drift import Reference
from clarity.inference.parity import Parity
from clarity.inference.processor import Precision
from clarity.params import ImagingParams, QualityParams
from clarity.records import Interval

FORMAT = 3
NAME = "bundle.json"
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Thresholds(_Part):
    """Operating points on the calibrated probability of each outcome."""

    referable: float = Field(ge=0, le=1)
    vision_threatening: float = Field(ge=0, le=1)


class Facts(_Part):
    """What training knows and a bundle must say. ``metrics`` are those of the test split, by their plain names."""

    name: str
    backbone: str
    imaging: ImagingParams
    quality: QualityParams
    temperature: float = Field(gt=0)
    decision: Decision
    thresholds: Thresholds
    data_version: str
    """The DVC hash of the data set, or "unversioned"."""
    data_summary: str
    """What it was trained on, a sentence for people; says so where these are phantoms."""
    git_commit: str
    metrics: dict[str, Interval]
    abstention: Abstention | None = None
    """When it hands over to a person; None of a draft, which decides on everything."""
    reference: Reference | None = None
    """What nights are compared with; None of a draft."""
    selective: dict[str, Interval] = Field(default_factory=dict)
    """Of the test split, by plain names: the coverage, and the figures of the photographs that it decides on."""
    classes: tuple[str, ...] = grades.NAMES
    environment: dict[str, str] = Field(default_factory=environment.versions)
    """Versions of the libraries that a result depends on; the whole lock is ``environment.txt``."""
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))

    @field_validator("classes")
    @classmethod
    def _five_grades(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value != grades.NAMES:
            raise ValueError(f"{value}, not the five ICDR grades in order")
        return value


class Spec(Facts):
    """``bundle.json``."""

    format: int
    fingerprint: str
    forms: dict[Precision, str]
    """Which file runs at which precision, for example {"fp32": "model.xml", "bf16": "model.xml"}: those that passed."""
    parity: dict[Precision, Parity]
    """How each form compares with the trained network; also of a form that the bundle lacks, and why."""
    canaries: tuple[Canary, ...] = ()
    """Drawn photographs among the files, and what each form said of them."""
    files: dict[str, str]
    """sha256 of every other file of the bundle, by name."""

    @field_validator("files")
    @classmethod
    def _plain_names(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if not _PLAIN_NAME.fullmatch(name):
                raise ValueError(f"{name!r}, not a plain file name")
        return value

    @model_validator(mode="after")
    def _canaries_are_files(self) -> Self:
        lost = [one.file for one in self.canaries if one.file not in self.files]
        if lost:
            raise ValueError(f"canary {lost[0]!r}, not a file of the bundle")
        return self


def parse(path: Path, text: bytes) -> Spec:
    """The specification at ``path`` from its text. Raises BundleError: another format, malformed."""
    try:
        seen = _Header.model_validate_json(text).format
        if seen != FORMAT:
            raise BundleError(f"{path}: format {seen}, this version of Clarity reads format {FORMAT}")
        return Spec.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        raise BundleError(f"{path}: {where}, {first['msg'][:1].lower()}{first['msg'][1:]}") from None


class _Header(BaseModel):
    format: int
