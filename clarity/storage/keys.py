"""How objects are named: by content, never by patient."""

import hashlib


def sha256(data: bytes) -> str:
    """64 hex digits: the identity of a photograph."""
    return hashlib.sha256(data).hexdigest()


def capture_key(sha: str, suffix: str) -> str:
    """Where a photograph lies: ``captures/3f/3f0a….jpg``. ``suffix`` with its dot, lower case."""
    return f"captures/{sha[:2]}/{sha}{suffix}"


def heatmap_key(model: str, version: str, sha: str) -> str:
    """Where an overlay lies: ``heatmaps/clarity-dr-3/3f0a….png``."""
    return f"heatmaps/{model}-{version}/{sha}.png"
