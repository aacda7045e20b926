"""Answers as they stand in the documentation: one patient, both eyes, two visits. A test holds them to the schemas."""

from typing import Any

Example = dict[str, Any]
PATIENT = "0b0c6f0e-6d0f-4c58-9f0a-1f5f6c1d2e3f"
SCAN_ID = "3f0a9c6e5d1b4f7a8e2c0d9b6a5f4e3d2c1b0a9f8e7d6c5b4a3f2e1d0c9b8a7f"
STATEMENT = (
    "Clarity is decision support in development, not a medical device. A qualified person must review every result."
)
_FINGERPRINT = "9d2f6c1b8a7e4d3c"
_CAPTURE = f"https://store.example.org/clarity/captures/3f/{SCAN_ID}.jpg?X-Amz-Expires=900&X-Amz-Signature=5e…"
_HEATMAP = (
    f"https://store.example.org/clarity/heatmaps/clarity-dr-3/{SCAN_ID}.png?X-Amz-Expires=900&X-Amz-Signature=a1…"
)
_AT = "2026-11-22T09:14:05Z"

OUTCOME: Example = {
    "result": "refer",
    "reasons": ["left eye: grade 2, moderate NPDR", "right eye: no capture"],
    "action": "Refer to an ophthalmologist.",
    "policy": "ada 2017.1",
    "not_derivable": ["diabetic macular oedema"],
    "due_on": "2027-05-22",
    "priority": 1,
    "worst_grade": 2,
    "left_grade": 2,
    "right_grade": None,
    "macular_oedema": "not assessed",
    "model": "clarity-dr",
    "model_version": "3",
    "reviewed_at": None,
}

STORED: Example = {
    "patient": PATIENT,
    "scan": SCAN_ID,
    "eye": "left",
    "field": "macula",
    "visit": "2026-11-22",
    "visit_type": "screening",
    "recapture": False,
    "outcome": OUTCOME,
    "capture_url": _CAPTURE,
}

PREDICTED: Example = {
    "outcome": "graded",
    "grade": 2,
    "name": "moderate NPDR",
    "probabilities": [0.04, 0.11, 0.68, 0.13, 0.04],
    "confidence": 0.68,
    "referable": True,
    "referable_probability": 0.85,
    "referable_threshold": 0.41,
    "vision_threatening": False,
    "vision_threatening_probability": 0.17,
    "vision_threatening_threshold": 0.37,
    "review_reasons": [],
    "macular_oedema": "not assessed",
    "quality": {"gradable": True, "score": 0.91, "reasons": []},
    "heatmap": {
        "subject": 2,
        "cells": [[0.0, 0.1], [1.9, 0.4]],
        "media_type": "image/png",
        "encoding": "base64",
        "width": 512,
        "height": 560,
        "data": None,
        "url": _HEATMAP,
    },
    "advice": None,
    "model": "clarity-dr",
    "model_version": "3",
    "fingerprint": _FINGERPRINT,
    "timing_ms": {"queue": 0.4, "grade": 31.0, "heatmap": 9.2},
    "statement": STATEMENT,
    "stored": STORED,
}

PROBLEM: Example = {
    "type": "urn:clarity:problem:unreadable_image",
    "title": "The photograph cannot be read",
    "status": 422,
    "detail": "image: 412 bytes, not a JPEG, PNG, TIFF, BMP, WebP or DICOM file",
    "code": "unreadable_image",
    "request_id": "7c9e6679f7424eb0a4b1d0b3c5f2a1de",
}

BATCH: Example = {
    "items": [
        {"status": 200, "answer": PREDICTED, "problem": None},
        {"status": 422, "answer": None, "problem": PROBLEM},
    ]
}

_PREDICTION: Example = {
    "grade": 2,
    "name": "moderate NPDR",
    "probabilities": PREDICTED["probabilities"],
    "confidence": 0.68,
    "referable": True,
    "vision_threatening": False,
    "review_reasons": [],
    "model": "clarity-dr",
    "model_version": "3",
    "fingerprint": _FINGERPRINT,
    "predicted_at": _AT,
    "heatmap_url": _HEATMAP,
}

_REVIEW: Example = {
    "decision": "grade",
    "grade": 3,
    "comment": "IRMA",
    "reviewer": "reader-2",
    "at": "2026-11-22T15:00:00Z",
}

SCAN: Example = {
    "id": SCAN_ID,
    "patient": PATIENT,
    "visit": "2026-11-22",
    "visit_type": "screening",
    "eye": "left",
    "field": "macula",
    "camera": "Topcon NW400",
    "captured_at": "2026-11-22T09:13:41Z",
    "registered_at": _AT,
    "state": "scored",
    "reasons": [],
    "recapture": False,
    "quality": 0.91,
    "grade": 2,
    "name": "moderate NPDR",
    "confidence": 0.68,
    "model_version": "3",
    "capture_url": _CAPTURE,
    "heatmap_url": _HEATMAP,
    "prediction": _PREDICTION,
    "earlier_predictions": [],
    "reviews": [_REVIEW],
    "macular_oedema": "not assessed",
}

SCAN_DETAIL: Example = {**SCAN, "outcome": OUTCOME, "statement": STATEMENT}

SCANS: Example = {"scans": [SCAN], "following": SCAN_ID, "statement": STATEMENT}

HISTORY: Example = {
    "patient": PATIENT,
    "visits": [
        {
            "visit": "2026-11-22",
            "visited_on": "2026-11-22",
            "outcome": OUTCOME,
            "earlier_outcomes": [],
            "since": {
                "visit": "2025-11-20",
                "visited_on": "2025-11-20",
                "eyes": [
                    {"eye": "left", "before": 1, "now": 2, "verdict": "worse"},
                    {"eye": "right", "before": 0, "now": None, "verdict": "not comparable"},
                ],
                "result_before": "no referral",
                "result_now": "refer",
                "same_model": False,
            },
            "scans": [SCAN],
        }
    ],
    "statement": STATEMENT,
}

REVIEW: Example = {"decision": "grade", "grade": 3, "comment": "IRMA"}

REVIEWED: Example = {
    "scan": SCAN_ID,
    "review": _REVIEW,
    "outcome": {**OUTCOME, "left_grade": 3, "worst_grade": 3, "priority": 0, "due_on": "2026-12-22"},
    "closed": False,
}

WORKLIST: Example = {
    "entries": [
        {
            **{name: value for name, value in OUTCOME.items() if name != "reviewed_at"},
            "patient": PATIENT,
            "visit": "2026-11-22",
            "scans": [{"scan": SCAN_ID, "eye": "left", "field": "macula", "state": "scored", "recapture": False}],
        }
    ],
    "following": "1_2027-05-22_812",
    "statement": STATEMENT,
}
