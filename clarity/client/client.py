"""``Client``: the online service's routes as methods, one each."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from clarity.client import answers
from clarity.client.connection import Connection, Photograph, changes, file, part, plain
from clarity.client.errors import Refused, refused
from clarity.client.transport import Patience

_DRAWING = ("heatmap", "format", "inline")


class Client:
    """One service. Made once and kept: its connections are used again, from several threads too.

    ``url`` and ``key`` are those of CLARITY_API_URL and CLARITY_API_KEY where they are not given. ``certificate``: a
    PEM file to trust beside the usual ones, for a service with a certificate of its own. Raises NotConfigured.

    Its methods raise :class:`~clarity.client.errors.ClientError`. What is safe is tried again, as ``patience`` says.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        certificate: Path | None = None,
        timeout_s: float = 60.0,
        patience: Patience | None = None,
    ) -> None:
        self._at = Connection(url, key, certificate, timeout_s, patience or Patience())

    def __repr__(self) -> str:
        return f"Client({self._at.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._at.close()

    # photographs

    def predict(self, photograph: Photograph, *, patient: str | None = None, **said: Any) -> answers.Prediction:
        """Grade one photograph. With ``patient`` (an id) it is kept, as that patient's scan; else nothing is.

        ``said``: eye, field, visit and visit_type of the capture; heatmap (predicted, referable or a grade), format
        (png or webp) and inline (True: the picture in the answer also where it is stored).
        """
        form, drawing = _sent(patient, said)
        files = [("image", file(photograph))]
        return self._at.post(answers.Prediction, "/predict", files=files, data=form, params=drawing)

    def predict_batch(
        self, photographs: Sequence[Photograph], *, patient: str | None = None, **said: Any
    ) -> list[answers.Prediction | Refused]:
        """For each photograph its answer, or the error that it alone cost. One model version grades all of them.

        ``said`` as of :meth:`predict`, for all; ``captures``, a dict for each photograph, says it one by one.
        """
        form, drawing = _sent(patient, said)
        files = [("images", file(photograph, number)) for number, photograph in enumerate(photographs)]
        found = self._at.post(answers.Batch, "/predict/batch", files=files, data=form, params=drawing)
        return [item.answer or refused(item.status, item.problem or {}) for item in found.items]

    # patients

    def create_patient(self, **fields: Any) -> answers.Patient:
        """``fields``, all of them optional: name, birth_date or age, email, phone, history, external_id."""
        return self._at.post(answers.Patient, "/patients/", json=plain(fields))

    def patient(self, patient: str) -> answers.Patient:
        """A patient by id."""
        return self._at.get(answers.Patient, f"/patients/{part(patient)}")

    def patients(self, **search: Any) -> Iterator[answers.Patient]:
        """All patients, or those of a name, email, phone, birth_date or external_id; read page by page."""
        return self._at.pages(answers.Patient, "/patients/", "patients", plain(search))

    def update_patient(self, patient: str, **fields: Any) -> answers.Patient:
        """Change these fields; None empties one. Sent once: another's change in between would be undone."""
        return self._at.once(answers.Patient, "PATCH", f"/patients/{part(patient)}", json=changes(fields))

    def erase_patient(self, patient: str) -> answers.Erasure:
        """Remove who the patient is. Sent once."""
        return self._at.once(answers.Erasure, "DELETE", f"/patients/{part(patient)}")

    # scans

    def history(self, patient: str) -> answers.History:
        """Every visit of a patient with its scans, the newest first, and what changed since the visit before."""
        return self._at.get(answers.History, f"/predict/patient/{part(patient)}/history")

    def scans(self, patient: str) -> Iterator[answers.Scan]:
        """Every scan of a patient, the newest first; read page by page."""
        return self._at.pages(answers.Scan, f"/patients/{part(patient)}/scans", "scans", {})

    def scan(self, scan: str) -> answers.Scan:
        """A scan by id, which is the sha256 of its photograph."""
        return self._at.get(answers.Scan, f"/scans/{part(scan)}")

    def review(self, scan: str, decision: str, **said: Any) -> answers.Reviewed:
        """Decide about a scan: ``agree``, ``grade`` (and which: ``grade=2``) or ``ungradable``; with a ``comment``.

        The newest decision counts, and the outcome of the visit follows it.
        """
        return self._at.post(answers.Reviewed, f"/scans/{part(scan)}/review", json={"decision": decision, **said})

    def worklist(self, **filters: Any) -> Iterator[answers.WorklistEntry]:
        """Visits that wait for a person, the most urgent first; by priority, due_by and result; read page by page."""
        return self._at.pages(answers.WorklistEntry, "/worklist", "entries", plain(filters))

    def download(self, address: str) -> bytes:
        """A photograph or heatmap at one of the addresses that an answer names and that expire."""
        return self._at.download(address)

    # the service

    def model(self) -> answers.Model:
        """The model in service, with its metrics and card."""
        return self._at.get(answers.Model, "/model")

    def ready(self) -> answers.Readiness:
        """Whether the service can do its work, and which part of it cannot: that is an answer here and no error."""
        return self._at.get(answers.Readiness, f"{self._at.url}/ready", accept=frozenset({503}))

    def health(self) -> answers.Health:
        """Whether the service is up; needs no key."""
        return self._at.get(answers.Health, f"{self._at.url}/health", accept=frozenset({503}))

    def metrics(self) -> str:
        """Figures of the service, in Prometheus' text format."""
        return self._at.text(f"{self._at.url}/metrics")


def _sent(patient: str | None, said: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What goes into the form beside the photographs, and what into the address."""
    drawing = {name: value for name, value in said.items() if name in _DRAWING}
    capture = {name: value for name, value in said.items() if name not in _DRAWING}
    if "captures" in capture:
        capture["captures"] = json.dumps([plain(one) for one in capture["captures"]])
    return plain({"patient": patient, **capture}), drawing
