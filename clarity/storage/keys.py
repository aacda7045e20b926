"""How objects are named: by content, never by patient."""

import hashlib

_MAGIC = (
    (b"\xff\xd8\xff", ".jpg", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", ".png", "image/png"),
    (b"II*\0", ".tif", "image/tiff"),
    (b"MM\0*", ".tif", "image/tiff"),
    (b"BM", ".bmp", "image/bmp"),
)


def sha256(data: bytes) -> str:
    """64 hex digits: the identity of a photograph."""
    return hashlib.sha256(data).hexdigest()


def kind(data: bytes) -> tuple[str, str]:
    """Suffix and media type by the first bytes, not by the name: the same photograph has the same key everywhere."""
    if data[128:132] == b"DICM":
        return ".dcm", "application/dicom"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return ".webp", "image/webp"
    for magic, suffix, media in _MAGIC:
        if data.startswith(magic):
            return suffix, media
    return "", "application/octet-stream"


def capture_key(sha: str, suffix: str) -> str:
    """Where a photograph lies: ``captures/3f/3f0a….jpg``. ``suffix`` is that of ``kind``."""
    return f"captures/{sha[:2]}/{sha}{suffix}"


def heatmap_key(model: str, version: str, sha: str) -> str:
    """Where an overlay lies: ``heatmaps/clarity-dr-3/3f0a….png``."""
    return f"heatmaps/{model}-{version}/{sha}.png"
