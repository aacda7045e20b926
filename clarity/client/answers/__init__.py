"""What the service answers, as frozen dataclasses; who a patient is, is left out of what is printed of one.

A field that a service does not send has its default, and what it sends beyond these is in ``raw``.
"""

from clarity.client.answers.patients import Erasure, Patient
from clarity.client.answers.photographs import Batch, Heatmap, Prediction, Quality, Stored
from clarity.client.answers.scans import (
    EyeChanged,
    History,
    Outcome,
    Review,
    Reviewed,
    Scan,
    ScanPrediction,
    Since,
    Visit,
)
from clarity.client.answers.service import Health, Model, Part, Readiness, Worker
from clarity.client.answers.worklist import WorklistEntry, WorklistScan

__all__ = [
    "Batch",
    "Erasure",
    "EyeChanged",
    "Health",
    "Heatmap",
    "History",
    "Model",
    "Outcome",
    "Part",
    "Patient",
    "Prediction",
    "Quality",
    "Readiness",
    "Review",
    "Reviewed",
    "Scan",
    "ScanPrediction",
    "Since",
    "Stored",
    "Visit",
    "Worker",
    "WorklistEntry",
    "WorklistScan",
]
