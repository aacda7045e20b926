"""The libraries that a result depends on, and the whole lock of the environment that made it."""

from functools import cache
from importlib import metadata

NAME = "environment.txt"
"""Of the lock, in a bundle and in a run's record."""
_MATTER = ("clarity-dr", "numpy", "opencv-python-headless", "openvino", "nncf", "torch", "torchvision")


def lock() -> str:
    """Every distribution of this environment with its version, a line each, sorted: a pip requirements file."""
    return "".join(f"{name}=={version}\n" for name, version in sorted(_installed().items()))


def versions() -> dict[str, str]:
    """Versions of the libraries that a grade depends on."""
    installed = _installed()
    return {name: installed[name] for name in _MATTER if name in installed}


@cache
def _installed() -> dict[str, str]:
    """Read once: a process keeps what it has loaded, and hundreds of files are half a second each time."""
    # A half-removed distribution has no name.
    said = (dist.metadata for dist in metadata.distributions())
    named = ((one["Name"], one["Version"]) for one in said)
    return {name.lower().replace("_", "-"): version for name, version in named if name}
