"""What the service answers, as it stands in the OpenAPI document. ``clarity predict --json`` prints the same."""

import base64
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from serving.reply import Drawn, Reply

STATEMENT = (
    "Clarity is decision support in development, not a medical device. A qualified person must review every result."
)
UNGRADABLE_ADVICE = (
    'The photograph is ungradable, which is not "no DR": take it again, or refer the patient for an examination.'
)
Probability = Field(ge=0, le=1)


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

    @classmethod
    def of(cls, drawn: Drawn) -> Self:
        """The picture as text, which JSON can carry."""
        return cls(
            subject=drawn.subject,
            cells=[list(row) for row in drawn.cells],
            media_type=drawn.media_type,
            width=drawn.width,
            height=drawn.height,
            data=base64.b64encode(drawn.data).decode("ascii"),
        )


class Timing(_Answer):
    """Milliseconds, in the process that graded. ``grade`` covers the whole batch that the photograph was graded in."""

    queue: float = Field(ge=0)
    grade: float = Field(ge=0)
    heatmap: float = Field(ge=0)

    @classmethod
    def of(cls, reply: Reply) -> Self:
        """To a tenth of a millisecond."""
        return cls(queue=round(reply.queue_ms, 1), grade=round(reply.grade_ms, 1), heatmap=round(reply.heatmap_ms, 1))


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
    def of(cls, reply: Reply) -> Self:
        """The answer for a graded or ungradable photograph."""
        p, quality = reply.prediction, reply.quality
        return cls(
            outcome="graded" if p else "ungradable",
            grade=p.grade if p else None,
            name=p.name if p else None,
            probabilities=list(p.probabilities) if p else None,
            confidence=p.confidence if p else None,
            referable=p.referable if p else None,
            referable_probability=p.referable_probability if p else None,
            referable_threshold=reply.thresholds.referable,
            vision_threatening=p.vision_threatening if p else None,
            vision_threatening_probability=p.vision_threatening_probability if p else None,
            vision_threatening_threshold=reply.thresholds.vision_threatening,
            review_reasons=list(p.review_reasons) if p else None,
            quality=QualityAnswer(gradable=quality.gradable, score=quality.score, reasons=list(quality.reasons)),
            heatmap=HeatmapAnswer.of(reply.heatmap) if reply.heatmap else None,
            advice=None if p else UNGRADABLE_ADVICE,
            model=reply.by.model,
            model_version=reply.by.version,
            fingerprint=reply.by.fingerprint,
            timing_ms=Timing.of(reply),
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
