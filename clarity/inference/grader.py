"""Photographs in, graded results out: the one path of screening, serving and ``clarity predict``.

bytes -> prepare -> quality gate -> engine -> temperature -> decision -> thresholds -> Prediction
"""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from clarity.errors import ClarityError, InferenceError, UnreadableImage
from clarity.imaging.chain import prepare
from clarity.imaging.tensor import to_tensor
from clarity.inference import decision, heatmap
from clarity.inference.bundle import Bundle
from clarity.inference.engine import Engine
from clarity.inference.heatmap import Subject
from clarity.inference.legend import with_legend
from clarity.inference.processor import cores
from clarity.inference.scores import Scores
from clarity.records import Image, Prediction, Prepared, Quality

log = logging.getLogger(__name__)
Wanted = Subject | Literal["predicted"]
"""Which heatmap a caller asks for."""


@dataclass(frozen=True, slots=True)
class Graded:
    """The result of one photograph. ``prediction`` and ``maps`` are None where it is ungradable: never "no DR"."""

    quality: Quality
    prediction: Prediction | None
    prepared: Prepared
    maps: NDArray[np.float32] | None
    """(5, h, w), evidence by grade; see ``heatmap``."""

    def subject(self, wanted: Wanted = "predicted") -> Subject | None:
        """What a heatmap that is asked for speaks for: the predicted grade by its number; None where ungradable."""
        if self.prediction is None:
            return None
        return self.prediction.grade if wanted == "predicted" else wanted

    def cam(self, wanted: Wanted = "predicted") -> NDArray[np.float32] | None:
        """(h, w) in 0..1 for what was asked for; None where ungradable. Raises InferenceError for an unknown grade."""
        subject = self.subject(wanted)
        return None if subject is None or self.maps is None else heatmap.heatmap(self.maps, subject)

    def overlay(self, size: int | None = None, wanted: Wanted = "predicted") -> Image | None:
        """The heatmap on the prepared square with its legend, RGB; None where ungradable."""
        subject, cam = self.subject(wanted), self.cam(wanted)
        if subject is None or cam is None:
            return None
        return with_legend(heatmap.on_prepared(self.prepared, cam, size), subject)


class Grader:
    """Grades photographs with one bundle. Safe to call from several threads; close it, or use it in a ``with``."""

    def __init__(self, bundle: Bundle, engine: Engine, model_version: str, *, jobs: int = 0) -> None:
        """``jobs`` photographs are prepared at once; 0 means one a core that this process may use."""
        self.bundle = bundle
        self.engine = engine
        self.model_version = model_version
        self.lanes = jobs or cores()
        """How many photographs are prepared at once."""
        self._pool = ThreadPoolExecutor(self.lanes, thread_name_prefix="prepare")

    def grade(self, photographs: Sequence[bytes]) -> list[Graded | ClarityError]:
        """A result or a named error for each photograph, in order; one bad photograph costs itself alone.

        Errors: UnreadableImage, ImageTooLarge, InferenceError. An ungradable photograph is a result.
        """
        return self.infer(list(self._pool.map(self._prepare, photographs)))

    def grade_here(self, photographs: Sequence[bytes]) -> list[Graded | ClarityError]:
        """The same in the calling thread alone, for callers that keep every core busy with photographs of their own."""
        return self.infer([self._prepare(data) for data in photographs])

    def infer(self, items: Sequence[Prepared | ClarityError]) -> list[Graded | ClarityError]:
        """The same from prepared photographs; errors among them pass through."""
        gradable = [i for i, item in enumerate(items) if isinstance(item, Prepared) and item.quality.gradable]
        images = [item.image for item in items if isinstance(item, Prepared) and item.quality.gradable]
        scored = dict(zip(gradable, self._score(images), strict=True))
        results: list[Graded | ClarityError] = []
        for index, item in enumerate(items):
            results.append(item if isinstance(item, ClarityError) else self._result(item, scored.get(index)))
        return results

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _prepare(self, data: bytes) -> Prepared | ClarityError:
        try:
            return prepare(data, self.bundle.spec.imaging, self.bundle.spec.quality)
        except ClarityError as error:
            return error
        except Exception as error:
            log.exception("photograph of %d bytes: could not be prepared", len(data))
            return UnreadableImage(f"photograph of {len(data)} bytes: {type(error).__name__}, could not be prepared")

    def _score(self, images: list[Image]) -> list[Scores | InferenceError]:
        """Scores of one photograph each; where a batch is refused, each is tried alone."""
        if not images:
            return []
        try:
            scores = self.engine.run(to_tensor(np.stack(images)))
        except InferenceError as error:
            if len(images) == 1:
                return [error]
            return [one for image in images for one in self._score([image])]
        return [Scores(scores.logits[i : i + 1], scores.maps[i : i + 1]) for i in range(len(images))]

    def _result(self, prepared: Prepared, scores: Scores | InferenceError | None) -> Graded | ClarityError:
        if scores is None:
            return Graded(prepared.quality, None, prepared, None)
        if isinstance(scores, InferenceError):
            return scores
        spec = self.bundle.spec
        (prediction,) = decision.predict(
            scores.logits,
            temperature=spec.temperature,
            decision=spec.decision,
            referable_threshold=spec.thresholds.referable,
            vision_threatening_threshold=spec.thresholds.vision_threatening,
            abstention=spec.abstention,
            model_version=self.model_version,
            fingerprint=prepared.fingerprint,
            precision=self.engine.precision,
        )
        return Graded(prepared.quality, prediction, prepared, scores.maps[0])
