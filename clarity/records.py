"""Frozen records that cross borders between packages: plain data, no behaviour, no I/O, no foreign types but NumPy."""

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""(H, W, 3) uint8, RGB, in 0..255."""
Tensor = NDArray[np.float32]
"""(N, 3, S, S) float32, RGB, normalised with the mean and deviation of ImageNet."""


class Eye(StrEnum):
    """Laterality of a capture."""

    LEFT = "left"
    RIGHT = "right"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Field:
    """The circular field of view in pixels of the image in which it was found."""

    cx: float
    cy: float
    radius: float
    visible: float
    """Share of the fitted circle that lies inside the frame, in [0, 1]; below 1 where top and bottom are cut."""


@dataclass(frozen=True, slots=True)
class Crop:
    """The square, in pixels of the oriented original, that a prepared image shows; may reach outside the frame."""

    left: float
    top: float
    side: float


@dataclass(frozen=True, slots=True)
class Quality:
    """The gradability verdict on one capture."""

    score: float
    """In [0, 1]; higher is better."""
    gradable: bool
    reasons: tuple[str, ...] = ()
    """Of "too dark", "too bright", "blurred", "field of view cut", "too small", "not a fundus photograph"."""
    measures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A photograph after the one imaging chain, before normalisation."""

    image: Image
    """(S, S, 3) uint8 RGB: cropped to the field of view, padded square, resized, CLAHE applied."""
    crop: Crop
    field: Field
    quality: Quality
    width: int
    """Of the oriented original, pixels."""
    height: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Capture:
    """One photograph as it arrives for screening: whose, which eye, which visit, where its bytes are."""

    sha256: str
    key: str
    patient: str
    """Pseudonymous external id; never a name."""
    eye: Eye
    visit: str
    """Groups the captures of one encounter of a patient, for example "2026-11-22"."""
    field: str = "unknown"
    captured_at: datetime | None = None
    visit_type: str = "screening"
    camera: str | None = None
    """Maker and model, as the file or its sidecar names them."""


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A registered model version."""

    name: str
    version: str
    run_id: str
    uri: str
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """What one model version says of one capture. Probabilities are calibrated."""

    grade: int
    name: str
    probabilities: tuple[float, ...]
    """Five, in grade order, summing to 1."""
    confidence: float
    """The probability of ``grade``."""
    referable: bool
    referable_probability: float
    vision_threatening: bool
    vision_threatening_probability: float
    model_version: str
    fingerprint: str
    review_reasons: tuple[str, ...] = ()
    """Why the model abstains and a person has to look; empty where it does not."""
    energy: float | None = None
    """How unlike the training data the photograph is (Liu et al. 2020); higher is stranger."""
    precision: str = "fp32"
    """Of the form that computed it."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its interval, for example QWK 0.83 (0.78 to 0.87), and how many photographs stand behind it."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate decides about a challenger, and why."""

    accepted: bool
    reasons: tuple[str, ...]
    """One sentence a check, passed or failed."""
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ScanResult:
    """What stands about one capture of a visit when its outcome is joined."""

    eye: Eye
    state: str
    """"registered" (waits), "scored", "ungradable" or "quarantined"."""
    reasons: tuple[str, ...] = ()
    """Of an ungradable or quarantined capture."""
    grade: int | None = None
    """Of a scored capture, by the model version of the outcome; None where that version has not scored it."""
    referable: bool = False
    vision_threatening: bool = False
    review_reasons: tuple[str, ...] = ()
    """Why the model abstains on it; empty where it does not."""
    reviewed: bool = False
    """A person has read it, and what stands here is what that person decided."""
    captured_at: datetime | None = None
    registered_at: datetime | None = None
    """When Clarity learnt of it: no capture is younger, whatever a camera's clock says."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The joined result of one patient's visit."""

    patient: str
    visit: str
    result: str
    """"refer", "review", "incomplete" or "no referral"; never a silent "no DR"."""
    reasons: tuple[str, ...]
    worst_grade: int | None
    left_grade: int | None
    right_grade: int | None
    macular_oedema: str = "not assessed"
    policy: str = ""
    """Name and version of the referral policy that decided, for example "ada 2024.1"."""
    action: str = ""
    """What the policy asks for, in its own words."""
    not_derivable: tuple[str, ...] = ()
    """What the policy needs and the model cannot know."""
    due_on: date | None = None
    """When the next step is due at the latest."""
    priority: int = 4
    """Of the worklist: 0 vision-threatening, 1 referable, 2 uncertain, 3 ungradable or incomplete, 4 nothing to do."""
