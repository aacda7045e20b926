"""Stored predictions as answers: what stands in the tables and the object store, whoever is champion meanwhile.

An answer that was just kept and one that is asked for again under its Idempotency-Key are made by the same steps.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO

from PIL import Image as Pillow

from clarity import grades
from clarity.errors import ClarityError, UnknownRecord
from clarity.inference import heatmap
from clarity.records import Capture, Prediction, Quality
from clarity.storage import database, known
from clarity.storage.history import Said
from clarity.storage.known import Known
from clarity.storage.scans import ScoredBy
from serving import errors, records
from serving.addresses import address
from serving.records import Predicted
from serving.reply import Drawing, Drawn, Reply, Thresholds
from serving.schemas import Answer
from serving.site import Site


@dataclass(frozen=True, slots=True)
class Remembered:
    """A photograph that was answered: by whom, and where that model version draws its lines."""

    sha256: str
    by: ScoredBy
    thresholds: Thresholds


Answered = tuple[Capture, Reply] | Remembered | ClarityError


class Memory:
    """What is kept of an answered request besides the rows that it made: text for ``idempotency.record``."""

    @staticmethod
    def of(answered: Sequence[Answered]) -> str:
        """As text."""
        return json.dumps([_noted(one) for one in answered])

    @staticmethod
    def parse(record: str) -> list[Answered]:
        """From that text."""
        return [_recalled(one) for one in json.loads(record)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilder:
    """Makes the answers of one request."""

    site: Site
    drawing: Drawing
    inline: bool

    def answers(self, answered: Sequence[Answered]) -> list[Predicted | ClarityError]:
        """In their order. Raises StorageError."""
        shas = [_sha(one) for one in answered if not isinstance(one, ClarityError)]
        with database.session(self.site.engine) as session:
            found = known.scans(session, shas)
        return [one if isinstance(one, ClarityError) else self._answer(one, found.get(_sha(one))) for one in answered]

    def _answer(self, one: tuple[Capture, Reply] | Remembered, stands: Known | None) -> Predicted | ClarityError:
        if stands is None:
            return UnknownRecord(f"scan {_sha(one)[:12]}…: was removed since")
        by = one.by if isinstance(one, Remembered) else one[1].by
        said = _said(stands, by)
        reply = self._again(one, stands, said) if isinstance(one, Remembered) else one[1]
        if said is not None:  # once written a prediction stays, also where it was computed again just now
            reply = replace(reply, prediction=_prediction(said))
        stored = records.stored(stands, address(self.site, stands.scan.key))
        answer = Predicted(**Answer.of(reply).model_dump(), stored=stored)
        return answer if said is None else self._with_address(answer, said)

    def _with_address(self, answer: Predicted, said: Said) -> Predicted:
        """The stored picture by its address; another one that was asked for, and any on request, in the answer."""
        if answer.heatmap is None:
            return answer
        is_stored = answer.heatmap.subject == said.grade and answer.heatmap.media_type == "image/png"
        if not is_stored:
            return answer
        changes: dict[str, str | None] = {"url": address(self.site, said.heatmap_key)}
        if not self.inline:
            changes["data"] = None
        return answer.model_copy(update={"heatmap": answer.heatmap.model_copy(update=changes)})

    def _again(self, one: Remembered, stands: Known, said: Said | None) -> Reply:
        scan = stands.scan
        return Reply(
            model=one.by.model,
            version=one.by.version,
            fingerprint=one.by.fingerprint,
            quality=Quality(scan.quality or 0.0, said is not None, () if said else scan.reasons),
            prediction=None,
            thresholds=one.thresholds,
            heatmap=_drawn(self.site.objects.get(said.heatmap_key), said.grade) if said else None,
            overlay=None,
            queue_ms=0.0,
            grade_ms=0.0,
            heatmap_ms=0.0,
        )


def _sha(one: tuple[Capture, Reply] | Remembered) -> str:
    return one.sha256 if isinstance(one, Remembered) else one[0].sha256


def _noted(one: Answered) -> dict[str, object]:
    if isinstance(one, ClarityError):
        return {"error": type(one).__name__, "detail": str(one)}
    if isinstance(one, Remembered):
        by, lines = one.by, one.thresholds
    else:
        by, lines = one[1].by, one[1].thresholds
    return {
        "scan": _sha(one),
        "by": [by.model, by.version, by.fingerprint],
        "lines": [lines.referable, lines.vision_threatening],
    }


def _recalled(noted: dict[str, object]) -> Answered:
    if "error" in noted:
        return _KINDS.get(str(noted["error"]), ClarityError)(str(noted["detail"]))
    by, lines = noted["by"], noted["lines"]
    return Remembered(str(noted["scan"]), ScoredBy(*by), Thresholds(*lines))  # type: ignore[misc]  # as _noted wrote it


_KINDS = {kind.__name__: kind for kind in errors.TABLE}


def _said(stands: Known, by: ScoredBy) -> Said | None:
    for said in stands.scan.predictions:
        if (said.model, said.model_version, said.fingerprint) == (by.model, by.version, by.fingerprint):
            return said
    return None


def _prediction(said: Said) -> Prediction:
    names = (
        *("grade", "probabilities", "confidence", "referable", "referable_probability", "vision_threatening"),
        *("vision_threatening_probability", "model_version", "fingerprint", "review_reasons", "energy", "precision"),
    )
    return Prediction(name=grades.name(said.grade), **{name: getattr(said, name) for name in names})


def _drawn(overlay: bytes, grade: int) -> Drawn:
    """The stored picture. It carries its own numbers. Raises InferenceError where it is none."""
    cells = heatmap.evidence(heatmap.numbers(overlay), grade).round(4).tolist()
    with Pillow.open(BytesIO(overlay)) as picture:
        width, height = picture.size
    return Drawn(grade, tuple(tuple(row) for row in cells), "image/png", width, height, overlay)
