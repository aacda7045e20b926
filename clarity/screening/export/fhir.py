"""FHIR R4, a resource a line (ndjson, as Bulk Data has it), each validated by fhir.resources on its way out.

A Device a model version; a visit is an Observation an eye, one of macular oedema, and a DiagnosticReport that refers
to them; what is referred to comes first. Preliminary until people have read what needed people, then final. A patient
is a pseudonymous identifier. fhir.resources knows R4B; for what is used here R4B is R4 (hl7.org/fhir/R4B/diff.html).
"""

import re
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from typing import Any

from fhir.resources.R4B.device import Device
from fhir.resources.R4B.diagnosticreport import DiagnosticReport
from fhir.resources.R4B.observation import Observation
from pydantic import ValidationError

from clarity import grades
from clarity.errors import ExportError
from clarity.screening.export import codes
from clarity.screening.report import NOTICE
from clarity.storage.outgoing import EyeSeen, VisitRow

_NO_ID = re.compile(r"[^A-Za-z0-9.-]+")
_OEDEMA = "Macular oedema: not assessed; it cannot be told from a grade of retinopathy"


def lines(rows: Iterable[VisitRow]) -> Iterator[str]:
    """A line a resource, with its line end. Raises ExportError where one is not valid."""
    devices: set[str] = set()
    for row in rows:
        if (name := _device_id(row)) not in devices:
            devices.add(name)
            yield _line(Device.model_validate, _device(row), row)
        eyes = {"left": row.left, "right": row.right}
        for eye, seen in eyes.items():
            yield _line(Observation.model_validate, _severity(row, eye, seen), row)
        yield _line(Observation.model_validate, _oedema(row), row)
        yield _line(DiagnosticReport.model_validate, _report(row), row)


def _line(validate: Callable[[dict[str, Any]], Any], values: dict[str, Any], row: VisitRow) -> str:
    try:
        return f"{validate(values).model_dump_json()}\n"
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ExportError(f"outcome {row.id}: {values['resourceType']}.{where}, {first['msg']}") from None


def _device(row: VisitRow) -> dict[str, Any]:
    versions = [("model version", row.model_version), ("software version", metadata.version("clarity-dr"))]
    return {
        "resourceType": "Device",
        "id": _device_id(row),
        "identifier": [{"system": f"{codes.OWN}:model", "value": f"{row.model}/{row.model_version}"}],
        "deviceName": [{"name": f"Clarity {row.model}", "type": "user-friendly-name"}],
        "version": [{"type": {"text": kind}, "value": value} for kind, value in versions],
        "note": [{"text": NOTICE}],
    }


def _severity(row: VisitRow, eye: str, seen: EyeSeen) -> dict[str, Any]:
    side = codes.concept(codes.SNOMED, *codes.EYE[eye])
    values = _observation(row, eye) | {"code": codes.concept(codes.LOINC, *codes.SEVERITY[eye]), "bodySite": side}
    if seen.grade is None:
        said = f"{seen.quality}: {', '.join(seen.reasons)}" if seen.reasons else seen.quality
        return values | {"dataAbsentReason": codes.absent(seen.quality, said)}
    text = f"ICDR grade {seen.grade}, {grades.name(seen.grade)}"
    return values | {"valueCodeableConcept": codes.concept(codes.LOINC, *codes.ANSWERS[seen.grade], text)}


def _oedema(row: VisitRow) -> dict[str, Any]:
    code = codes.concept(f"{codes.OWN}:observation", "macular-oedema", "Macular oedema")
    reason = codes.absent("not assessed", _OEDEMA)
    return _observation(row, "macular-oedema") | {"code": code, "dataAbsentReason": reason}


def _observation(row: VisitRow, name: str) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": f"visit-{row.id}-{name}",
        "status": _status(row),
        "category": [codes.concept(*codes.IMAGING["observation"])],
        "method": {"text": codes.METHOD if row.reviewed_at is None else codes.METHOD_READ},
        "device": {"reference": f"Device/{_device_id(row)}"},
        **_of_visit(row),
        **({"performer": people} if (people := _people(row)) else {}),
    }


def _report(row: VisitRow) -> dict[str, Any]:
    parts = ("left", "right", "macular-oedema")
    return {
        "resourceType": "DiagnosticReport",
        "id": f"visit-{row.id}",
        "identifier": [{"system": f"{codes.OWN}:outcome", "value": str(row.id)}],
        "status": _status(row),
        "category": [codes.concept(*codes.IMAGING["report"])],
        "code": codes.concept(codes.LOINC, *codes.REPORT, "Diabetic retinopathy screening"),
        "result": [{"reference": f"Observation/visit-{row.id}-{part}"} for part in parts],
        "conclusion": _conclusion(row),
        **_of_visit(row),
        **({"resultsInterpreter": people} if (people := _people(row)) else {}),
    }


def _of_visit(row: VisitRow) -> dict[str, Any]:
    identifier = {"system": f"{codes.OWN}:patient", "value": row.patient}
    found: dict[str, Any] = {"subject": {"type": "Patient", "identifier": identifier}}
    if row.visited_on is not None:
        found["effectiveDateTime"] = row.visited_on.isoformat()
    return found | {"issued": row.updated_at.isoformat(timespec="milliseconds")}


def _people(row: VisitRow) -> list[dict[str, Any]]:
    system = f"{codes.OWN}:reviewer"
    return [{"type": "Practitioner", "identifier": {"system": system, "value": name}} for name in row.reviewers]


def _conclusion(row: VisitRow) -> str:
    due = f" Due {row.due_on.isoformat()}." if row.due_on else ""
    open_ = f" Not derivable: {'; '.join(row.not_derivable)}." if row.not_derivable else ""
    said = ". ".join(row.reasons)
    return f"Outcome: {row.result}. {row.action}{due} Policy: {row.policy}. {said}.{open_} {NOTICE}"


def _status(row: VisitRow) -> str:
    return "preliminary" if row.reviewed_at is None else "final"


def _device_id(row: VisitRow) -> str:
    return _NO_ID.sub("-", f"{row.model}-{row.model_version}")[:64]
