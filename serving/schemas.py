"""What the service answers, as it stands in the OpenAPI document. ``clarity predict --json`` prints the same."""

import base64
from datetime import UTC, datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from serving.reply import Drawn, Reply
from serving.state import State

STATEMENT = (
    "Clarity is decision support in development, not a medical device. A qualified person must review every result."
)
UNGRADABLE_ADVICE = (
    'The photograph is ungradable, which is not "no DR": take it again, or refer the patient for an examination.'
)
Probability = Field(ge=0, le=1)


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)
"""Of a strict integer in a request: 3.0 is one too, as JSON Schema means it; "3" and true are none."""


TEXT = r"^[^\x00]*$"
"""What PostgreSQL can hold."""


def given(shape: dict[str, Any]) -> dict[str, Any]:
    """The schema of a parameter, or of a form's field: it is there or not, and never null."""
    kinds = [one for one in shape.get("anyOf", ()) if one.get("type") != "null"]
    if len(kinds) != 1:
        return shape
    return {**kinds[0], **{name: value for name, value in shape.items() if name not in ("anyOf", "default")}}


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
    data: str | None = Field(
        description="The picture, base64. It carries no metadata of the photograph, and all five maps as numbers. Null "
        "where it is stored, unless ``inline`` asks for it."
    )
    url: str | None = Field(
        default=None, description="Of the stored picture, presigned: it can be read without a key until it expires."
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
            model=reply.model,
            model_version=reply.version,
            fingerprint=reply.fingerprint,
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
    """The service is up. Whether it can do its work is told by /ready."""

    status: Literal["ok", "starting"]
    workers: int = Field(ge=0, description="Inference workers that run.")


class Part(_Answer):
    """One thing that the service cannot work without, or whose absence is to be known."""

    state: Literal["ok", "failed"]
    reason: str = Field(default="", description="Why it failed; of a model also which champion was refused and why.")


class WorkerAnswer(_Answer):
    """One inference worker."""

    worker: int
    generation: int = Field(description="How many models it has put into service.")
    version: str | None = Field(description="Of the model in service.")
    precision: str = Field(examples=["int8"])
    since: datetime | None = Field(description="When that model went into service.")
    reason: str = Field(description="Why it has no model, or cannot follow the registry.")
    refused_version: str = Field(description="The champion that it refused while another keeps serving.")
    refused_reason: str

    @classmethod
    def of(cls, state: State) -> Self:
        """Its last word."""
        return cls(
            worker=state.worker,
            generation=state.generation,
            version=state.version,
            precision=state.precision,
            since=datetime.fromtimestamp(state.since, UTC) if state.since else None,
            reason=state.reason,
            refused_version=state.refused_version,
            refused_reason=state.refused_reason,
        )


class Ready(_Answer):
    """Whether the service can do its work now: 200 only where every part is well."""

    status: Literal["ready", "not ready"]
    model: Part
    database: Part
    objects: Part = Field(description="The object store.")
    registry: Part = Field(description="MLflow. The service works on without it, with the model that it has.")
    workers: list[WorkerAnswer]


class ModelCard(_Answer):
    """The model in service, and what is known of it."""

    name: str
    version: str
    fingerprint: str = Field(description="Of the imaging chain that prepares photographs for it.")
    backbone: str
    precision: str
    referable_threshold: float = Probability
    vision_threatening_threshold: float = Probability
    metrics: dict[str, Any] = Field(description="On the test set, each with its interval of confidence.")
    data_version: str
    git_commit: str
    card: str = Field(description="The model card, Markdown.")
    workers: list[WorkerAnswer]
    statement: str = STATEMENT
