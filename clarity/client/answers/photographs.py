"""What a model says of a photograph that was sent."""

import base64
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from clarity.client.answers.scans import Outcome
from clarity.client.reading import Answer


@dataclass(frozen=True)
class Quality(Answer):
    """The quality gate's verdict."""

    gradable: bool
    score: float
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Heatmap(Answer):
    """The evidence as a picture: in ``data``, and of a stored photograph under ``url`` too."""

    subject: int | str | None = None
    cells: tuple[tuple[float, ...], ...] = dataclasses.field(default=(), repr=False)
    media_type: str = ""
    width: int | None = None
    height: int | None = None
    data: str | None = dataclasses.field(default=None, repr=False)
    url: str | None = dataclasses.field(default=None, repr=False, compare=False)

    @property
    def picture(self) -> bytes | None:
        """The file, where it came with the answer; what lies under ``url`` is fetched with ``Client.download``."""
        return base64.b64decode(self.data) if self.data is not None else None


@dataclass(frozen=True)
class Stored(Answer):
    """Where a photograph that was sent with a patient stands."""

    patient: str
    scan: str
    eye: str = "unknown"
    field: str = "unknown"
    visit: str = ""
    visit_type: str = ""
    recapture: bool = False
    outcome: Outcome | None = None
    capture_url: str | None = dataclasses.field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Prediction(Answer):
    """One photograph's result. Where it is ungradable, every finding is None: that is never "no DR"."""

    outcome: str
    model: str
    model_version: str
    quality: Quality
    grade: int | None = None
    name: str | None = None
    probabilities: tuple[float, ...] | None = None
    confidence: float | None = None
    referable: bool | None = None
    referable_probability: float | None = None
    referable_threshold: float | None = None
    vision_threatening: bool | None = None
    vision_threatening_probability: float | None = None
    vision_threatening_threshold: float | None = None
    review_reasons: tuple[str, ...] | None = None
    macular_oedema: str = "not assessed"
    heatmap: Heatmap | None = None
    advice: str | None = None
    fingerprint: str = ""
    timing_ms: Mapping[str, float] = dataclasses.field(default_factory=dict)
    statement: str = ""
    stored: Stored | None = None


@dataclass(frozen=True)
class Item(Answer):
    """One photograph of a batch: an answer, or a problem."""

    status: int
    answer: Prediction | None = None
    problem: Mapping[str, object] | None = None


@dataclass(frozen=True)
class Batch(Answer):
    """In the order of the photographs."""

    items: tuple[Item, ...]
