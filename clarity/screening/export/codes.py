"""Codes of FHIR R4 resources for retinopathy screening, and where each was looked up.

LOINC: 71490-7 and 71491-5 with their answer list LL2117-1 (loinc.org, version 2.80, read 24 November 2026). LOINC's
method is ophthalmoscopy; no code for a photograph with these answers was found there, so that every Observation says
by ``method`` how it was really made. 103592-2 was seen on a third party's page only. data-absent-reason: HL7, R4.
SNOMED CT: HL7's value set EyecareTargetSiteCodes (expansion of September 2023); the codes of left and right "eye
structure" that are met more often are inactive since 2024.
"""

from typing import Any

LOINC, SNOMED = "http://loinc.org", "http://snomed.info/sct"
ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
OWN = "urn:clarity-dr"
"""Our own systems: ``urn:clarity-dr:patient`` and so on."""

SEVERITY = {
    "left": ("71490-7", "Left eye Diabetic retinopathy severity level by Ophthalmoscopy"),
    "right": ("71491-5", "Right eye Diabetic retinopathy severity level by Ophthalmoscopy"),
}
EYE = {"left": ("362503005", "Entire left eye"), "right": ("362502000", "Entire right eye")}
ANSWERS = (
    ("LA18643-9", "No apparent retinopathy"),
    ("LA18644-7", "Mild non-proliferative retinopathy"),
    ("LA18645-4", "Moderate non-proliferative retinopathy"),
    ("LA18646-2", "Severe non-proliferative retinopathy"),
    ("LA18648-8", "Proliferative retinopathy"),
)
"""By ICDR grade: the list's descriptions are the scale's."""
REPORT = ("103592-2", "Retinal eye screening report Document")
IMAGING = {
    "observation": ("http://terminology.hl7.org/CodeSystem/observation-category", "imaging", "Imaging"),
    "report": ("http://terminology.hl7.org/CodeSystem/v2-0074", "IMG", "Diagnostic Imaging"),
}
REASONS = {
    "not gradable": ("unknown", "Unknown"),
    "missing": ("not-performed", "Not Performed"),
    "waiting": ("temp-unknown", "Temporarily Unknown"),
    "not assessed": ("unsupported", "Unsupported"),
}
"""Why a value is absent, by our own words: an ungradable eye has a grade that nobody knows."""
METHOD = "Automated grading of colour fundus photographs (ICDR)"
METHOD_READ = f"{METHOD}, read by a person"


def concept(system: str, code: str, display: str, text: str | None = None) -> dict[str, Any]:
    """A CodeableConcept."""
    found: dict[str, Any] = {"coding": [{"system": system, "code": code, "display": display}]}
    return found | ({"text": text} if text else {})


def absent(why: str, text: str) -> dict[str, Any]:
    """A dataAbsentReason, with the reason in words."""
    return concept(ABSENT, *REASONS[why], text)
