"""One short name for "prepared in exactly this way", which travels with every prepared image and every model."""

import functools
import hashlib
import json

from clarity.params import ImagingParams

CHAIN_VERSION = 5
"""Raise it with any change of code below ``clarity/imaging`` that changes a prepared pixel."""

_LIMITS = {"max_bytes", "max_pixels"}
"""What may be decoded at all does not change how it looks once prepared."""


@functools.lru_cache(maxsize=64)
def fingerprint(params: ImagingParams) -> str:
    """16 hex digits of the parameters that change a prepared pixel and of the chain's own version."""
    values = params.model_dump(exclude=_LIMITS)
    text = json.dumps({"chain": CHAIN_VERSION, **values}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
