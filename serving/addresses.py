"""Scans as answers: rows with the addresses under which photographs and heatmaps can be fetched for a while."""

from uuid import UUID

from clarity.storage.history import PastScan
from serving.scanned import PredictionAnswer, ScanAnswer
from serving.site import Site


def address(site: Site, key: str) -> str:
    """A presigned URL of an object; the store is not asked. Raises SettingsError."""
    return site.objects.presign(key, seconds=site.params.serving.url_expires_s)


def scan(site: Site, patient: UUID, past: PastScan) -> ScanAnswer:
    """A scan with its addresses."""
    said = [PredictionAnswer.of(one, address(site, one.heatmap_key)) for one in past.predictions]
    return ScanAnswer.of(patient, past, address(site, past.key), said)
