"""An example of each route, as curl and as code of the client: in the OpenAPI document, docs/api.md, and run by a test.

They are one story, told in this order: a patient is made, photographed, read, and erased at its end. The shell has
CLARITY_API_URL and CLARITY_API_KEY, then PATIENT and SCAN, ids that earlier answers gave; Python has ``client``, and
``patient`` and ``scan`` likewise. Photographs are left.jpg and right.jpg.
"""

import json
from dataclasses import dataclass
from typing import Any

_KEY = '-H "Authorization: Bearer $CLARITY_API_KEY"'


@dataclass(frozen=True, slots=True)
class Sample:
    """Of one operation."""

    curl: str
    python: str

    def code(self) -> list[dict[str, str]]:
        """As ``x-codeSamples``, which documentation tools know."""
        told = {"curl": ("shell", self.curl), "clarity.client": ("python", self.python)}
        return [{"lang": lang, "label": label, "source": source} for label, (lang, source) in told.items()]


def _curl(path: str, *options: str) -> str:
    return " \\\n  ".join((f"curl {_KEY}", *options, f'"$CLARITY_API_URL{path}"'))


def _json(body: dict[str, Any]) -> str:
    return f"-H 'Content-Type: application/json' -d '{json.dumps(body)}'"


SAMPLES: dict[str, Sample] = {
    "health": Sample('curl "$CLARITY_API_URL/health"', "print(client.health().status)"),
    "ready": Sample(
        _curl("/ready"),
        "ready = client.ready()\nprint(ready.status, ready.model, ready.database, ready.objects, ready.registry)",
    ),
    "model": Sample(_curl("/v1/model"), "model = client.model()\nprint(model.name, model.version, model.metrics)"),
    "create_patient": Sample(
        _curl("/v1/patients/", _json({"name": "Erika Mustermann", "birth_date": "1961-04-30"})),
        'patient = client.create_patient(name="Erika Mustermann", birth_date="1961-04-30").id',
    ),
    "patients": Sample(
        _curl("/v1/patients/", "-G", "--data-urlencode 'name=mustermann'"),
        'for found in client.patients(name="mustermann"):\n    print(found.id, found.updated_at)',
    ),
    "patient": Sample(_curl("/v1/patients/$PATIENT"), "print(client.patient(patient).name)"),
    "update_patient": Sample(
        _curl("/v1/patients/$PATIENT", "-X PATCH", _json({"phone": "+49 171 5550 123"})),
        'client.update_patient(patient, phone="+49 171 5550 123")',
    ),
    "predict": Sample(
        _curl(
            "/v1/predict",
            "-H 'Idempotency-Key: upload-1'",
            '-F image=@left.jpg -F "patient=$PATIENT" -F eye=left -F field=macula',
        ),
        'found = client.predict(Path("left.jpg"), patient=patient, eye="left", field="macula")\n'
        "print(found.outcome, found.grade, found.name, found.confidence, found.referable)\n"
        "scan = found.stored.scan",
    ),
    "predict_batch": Sample(
        _curl(
            "/v1/predict/batch",
            '-F images=@left.jpg -F images=@right.jpg -F "patient=$PATIENT"',
            """-F 'captures=[{"eye": "left"}, {"eye": "right"}]'""",
        ),
        'both = [Path("left.jpg"), Path("right.jpg")]\n'
        'for found in client.predict_batch(both, patient=patient, captures=[{"eye": "left"}, {"eye": "right"}]):\n'
        "    print(found)  # a Prediction, or the error that this photograph alone cost",
    ),
    "scan": Sample(_curl("/v1/scans/$SCAN"), "print(client.scan(scan).state)"),
    "scans": Sample(
        _curl("/v1/patients/$PATIENT/scans"),
        "for found in client.scans(patient):\n"
        "    print(found.eye, found.grade, len(client.download(found.capture_url)))",
    ),
    "history": Sample(
        _curl("/v1/predict/patient/$PATIENT/history"),
        "for visit in client.history(patient).visits:\n    print(visit.visited_on, visit.outcome.result, visit.since)",
    ),
    "worklist": Sample(
        _curl("/v1/worklist", "-G", "-d priority=1"),
        "for entry in client.worklist(priority=1):\n    print(entry.due_on, entry.patient, entry.result, entry.action)",
    ),
    "review": Sample(
        _curl("/v1/scans/$SCAN/review", _json({"decision": "grade", "grade": 3, "comment": "IRMA"})),
        'done = client.review(scan, "grade", grade=3, comment="IRMA")\nprint(done.closed, done.outcome.result)',
    ),
    "erase_patient": Sample(
        _curl("/v1/patients/$PATIENT", "-X DELETE"),
        "done = client.erase_patient(patient)\nprint(done.erased, done.kept)",
    ),
    "metrics": Sample(_curl("/metrics"), "print(client.metrics())"),
}
"""By the operation's id."""
