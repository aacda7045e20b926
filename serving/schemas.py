"""What the service answers, as it stands in the OpenAPI document. ``clarity predict --json`` prints the same."""

import base64
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from clarity.inference import heatmap
from clarity.inference.grader import Graded, Wanted
from clarity.inference.spec import Spec

STATEMENT = (
    "Clarity is decision support in development, not a medical device. A qualified person must review every result."
)
UNGRADABLE_ADVICE = (
    'The photograph is ungradable, which is not "no DR": take it again, or refer the patient for an examination.'
)
Probability = Field(ge=0, le=1)


@dataclass(frozen=True, slots=True)
class Drawing:
    """What heatmap a caller asks for, and in what kind of file."""

    wanted: Wanted = "predicted"
    format: heatmap.Format = "png"

    @classmethod
    def of(cls, subject: "AskedSubject", format: heatmap.Format) -> Self:
        """From words, as they stand in an address or on a command line."""
        return cls(subject if subject in ("predicted", "referable") else int(subject), format)


AskedSubject = Literal["predicted", "referable", "0", "1", "2", "3", "4"]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class QualityAnswer(_Answer):
    """The quality gate's verdict."""

    gradable: bool
    score: float = Field(ge=0, le=1, description="Higher is better.")
    reasons: list[str] = Field(description="Why it is ungradable; empty where it is gradable.", examples=[["blurred"]])


class HeatmapAnswer(_Answer):
    """Grad-CAM of the predicted grade, or of what was asked for, over the prepared photograph, with a legend."""

    subject: int | Literal["referable"] = Field(description="A grade, or grades 2 to 4 together.", examples=[2])
    cells: list[list[float]] = Field(
        description="Its evidence before it is stretched for the picture, over the prepared square, rows from the top."
    )
    media_type: Literal["image/png", "image/webp"]
    encoding: Literal["base64"] = "base64"
    width: int
    height: int
    data: str = Field(
        description="The picture, base64. It carries no metadata of the photograph, and all five maps as numbers."
    )


class Timing(_Answer):
    """Milliseconds, in the process that graded. ``grade`` covers the whole batch that the photograph was graded in."""

    queue: float = Field(ge=0)
    grade: float = Field(ge=0)
    heatmap: float = Field(ge=0)


class Answer(_Answer):
    """One photograph's result. Where it is ungradable, every finding is null: that is never "no DR"."""

    outcome: Literal["graded", "ungradable"]
    grade: int | None = Field(ge=0, le=4, description="ICDR grade; null where ungradable.", examples=[2])
    name: str | None = Field(examples=["moderate NPDR"])
    probabilities: list[float] | None = Field(
        min_length=5, max_length=5, description="Calibrated, in grade order.", examples=[[0.05, 0.15, 0.6, 0.15, 0.05]]
    )
    confidence: float | None = Field(ge=0, le=1, description="The probability of the grade.")
    referable: bool | None = Field(description="More than mild DR. Macular oedema also refers and is not assessed.")
    referable_probability: float | None = Probability
    referable_threshold: float = Probability
    vision_threatening: bool | None
    vision_threatening_probability: float | None = Probability
    vision_threatening_threshold: float = Probability
    review_reasons: list[str] | None = Field(
        description="Why the model hands this photograph over to a person; empty where it decides itself."
    )
    macular_oedema: Literal["not assessed"] = "not assessed"
    quality: QualityAnswer
    heatmap: HeatmapAnswer | None
    advice: str | None = Field(description="What to do with an ungradable photograph.")
    model: str
    model_version: str
    fingerprint: str = Field(description="Of the imaging chain that prepared the photograph.")
    timing_ms: Timing
    statement: str = STATEMENT

    @classmethod
    def of(cls, graded: Graded, spec: Spec, *, model_version: str, drawn: HeatmapAnswer | None, timing: Timing) -> Self:
        """The answer for a graded or ungradable photograph."""
        p, quality = graded.prediction, graded.quality
        return cls(
            outcome="graded" if p else "ungradable",
            grade=p.grade if p else None,
            name=p.name if p else None,
            probabilities=list(p.probabilities) if p else None,
            confidence=p.confidence if p else None,
            referable=p.referable if p else None,
            referable_probability=p.referable_probability if p else None,
            referable_threshold=spec.thresholds.referable,
            vision_threatening=p.vision_threatening if p else None,
            vision_threatening_probability=p.vision_threatening_probability if p else None,
            vision_threatening_threshold=spec.thresholds.vision_threatening,
            review_reasons=list(p.review_reasons) if p else None,
            quality=QualityAnswer(gradable=quality.gradable, score=quality.score, reasons=list(quality.reasons)),
            heatmap=drawn,
            advice=None if p else UNGRADABLE_ADVICE,
            model=spec.name,
            model_version=model_version,
            fingerprint=graded.prepared.fingerprint,
            timing_ms=timing,
        )


class Problem(_Answer):
    """An error (RFC 9457): ``code`` is stable; ``detail`` says subject, value and verdict."""

    type: str = Field(examples=["urn:clarity:problem:unreadable_image"])
    title: str
    status: int = Field(ge=400, le=599)
    detail: str = Field(examples=["image: 412 bytes, not a JPEG, PNG, TIFF, BMP, WebP or DICOM file"])
    code: str = Field(examples=["unreadable_image"])
    request_id: str = Field(description="Also in the header X-Request-Id and in the service's log.")


class Health(_Answer):
    """The service is up. Whether it has a model is told by /predict."""

    status: Literal["ok", "starting"]
    workers: int = Field(ge=0, description="Inference workers that are ready.")


def draw(graded: Graded, size: int, drawing: Drawing) -> HeatmapAnswer | None:
    """The overlay of a graded photograph, ``size`` pixels wide; None where it is ungradable."""
    subject, picture = graded.subject(drawing.wanted), graded.overlay(size, drawing.wanted)
    if subject is None or picture is None or graded.maps is None:
        return None
    data = heatmap.encode(picture, drawing.format, maps=graded.maps)
    return HeatmapAnswer(
        subject=subject,
        cells=heatmap.evidence(graded.maps, subject).round(4).tolist(),
        media_type="image/webp" if drawing.format == "webp" else "image/png",
        width=picture.shape[1],
        height=picture.shape[0],
        data=base64.b64encode(data).decode("ascii"),
    )
