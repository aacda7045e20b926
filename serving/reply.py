"""What passes between an HTTP process and an inference worker: plain data, pickled."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

from clarity.errors import ClarityError
from clarity.inference import heatmap
from clarity.inference.grader import Graded, Wanted
from clarity.inference.heatmap import Subject
from clarity.inference.spec import Spec
from clarity.records import Prediction, Quality

if TYPE_CHECKING:  # a worker has no use for what these bring: it would start a third of a second later
    from clarity.storage.results import Finding
    from clarity.storage.scans import ScoredBy

AskedSubject = Literal["predicted", "referable", "0", "1", "2", "3", "4"]


@dataclass(frozen=True, slots=True)
class Drawing:
    """What heatmap a caller asks for, and in what kind of file."""

    wanted: Wanted = "predicted"
    format: heatmap.Format = "png"

    @classmethod
    def of(cls, subject: AskedSubject, format: heatmap.Format) -> Self:
        """From words, as they stand in an address or on a command line."""
        return cls(subject if subject in ("predicted", "referable") else int(subject), format)


@dataclass(frozen=True, slots=True)
class Job:
    """Photographs that one model version is to grade together: an answer never mixes versions."""

    photographs: tuple[bytes, ...]
    drawing: Drawing
    keep: bool
    """The caller stores: the overlay of the predicted grade as PNG is asked for beside the one that is drawn."""
    queued_at: float
    """time.monotonic(), which all processes of a machine share."""
    deadline: float
    """The same clock: who asked has been refused by then, and nobody waits any longer."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A heatmap over the prepared photograph, encoded."""

    subject: Subject
    cells: tuple[tuple[float, ...], ...]
    """Its evidence as numbers, rows from the top."""
    media_type: Literal["image/png", "image/webp"]
    width: int
    height: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Of the two outcomes of the model that answered."""

    referable: float
    vision_threatening: float


@dataclass(frozen=True, slots=True)
class Reply:
    """One photograph's result, graded or ungradable, with all that an answer or a row needs."""

    model: str
    version: str
    fingerprint: str
    """Of the imaging chain that prepared the photograph."""
    quality: Quality
    prediction: Prediction | None
    """None where it is ungradable."""
    thresholds: Thresholds
    heatmap: Drawn | None
    overlay: bytes | None
    """For the object store: PNG of the predicted grade; None unless the job keeps, or where it is ungradable."""
    queue_ms: float
    grade_ms: float
    """For the whole batch that it was graded in."""
    heatmap_ms: float

    @classmethod
    def of(
        cls,
        graded: Graded,
        spec: Spec,
        version: str,
        *,
        drawn: Drawn | None,
        overlay: bytes | None = None,
        queue_ms: float = 0.0,
        grade_ms: float = 0.0,
        heatmap_ms: float = 0.0,
    ) -> Self:
        """From what the grader found."""
        return cls(
            model=spec.name,
            version=version,
            fingerprint=graded.prepared.fingerprint,
            quality=graded.quality,
            prediction=graded.prediction,
            thresholds=Thresholds(spec.thresholds.referable, spec.thresholds.vision_threatening),
            heatmap=drawn,
            overlay=overlay,
            queue_ms=queue_ms,
            grade_ms=grade_ms,
            heatmap_ms=heatmap_ms,
        )

    @property
    def by(self) -> "ScoredBy":
        """Who answered, as rows name it."""
        from clarity.storage.scans import ScoredBy

        return ScoredBy(self.model, self.version, self.fingerprint)

    def finding(self, sha256: str, heatmap_key: str | None) -> "Finding":
        """As a row needs it. ``heatmap_key``: where the overlay lies, None where it is ungradable."""
        from clarity.storage.results import Finding

        if self.prediction is None:
            return Finding(sha256, "ungradable", self.quality.reasons, self.quality.score)
        return Finding(sha256, "scored", (), self.quality.score, self.prediction, heatmap_key)


Result = Reply | ClarityError
"""Of one photograph: a bad one costs itself alone."""


def draw(graded: Graded, size: int, drawing: Drawing) -> Drawn | None:
    """The overlay of a graded photograph, ``size`` pixels wide; None where it is ungradable. Raises InferenceError."""
    subject, picture = graded.subject(drawing.wanted), graded.overlay(size, drawing.wanted)
    if subject is None or picture is None or graded.maps is None:
        return None
    cells = heatmap.evidence(graded.maps, subject).round(4).tolist()
    return Drawn(
        subject=subject,
        cells=tuple(tuple(row) for row in cells),
        media_type="image/webp" if drawing.format == "webp" else "image/png",
        width=picture.shape[1],
        height=picture.shape[0],
        data=heatmap.encode(picture, drawing.format, maps=graded.maps),
    )
