"""The project's own parameters: what is measured is what runs."""

import functools
from pathlib import Path

from clarity import params
from clarity.params import Params

_PROJECT = Path(__file__).resolve().parents[2]


@functools.cache
def pipeline() -> Params:
    """``conf/pipeline.yaml``. Raises ParameterError."""
    return params.load(_PROJECT / "conf/pipeline.yaml")
