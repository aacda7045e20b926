"""The service itself: whether it can do its work, and with which model."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from clarity.client.reading import Answer


@dataclass(frozen=True)
class Part(Answer):
    """One thing that the service works with: ok, or failed with its reason."""

    state: str
    reason: str = ""

    @property
    def ok(self) -> bool:
        """It is well."""
        return self.state == "ok"


@dataclass(frozen=True)
class Worker(Answer):
    """One inference worker; ``generation``: how many models it has put into service."""

    worker: int
    generation: int = 0
    version: str | None = None
    precision: str = ""
    since: datetime | None = None
    reason: str = ""
    refused_version: str = ""
    refused_reason: str = ""


@dataclass(frozen=True)
class Readiness(Answer):
    """Whether every part is well, and which is not."""

    status: str
    model: Part | None = None
    database: Part | None = None
    objects: Part | None = None
    registry: Part | None = None
    workers: tuple[Worker, ...] = ()

    @property
    def ready(self) -> bool:
        """All is well."""
        return self.status == "ready"


@dataclass(frozen=True)
class Health(Answer):
    """ok once an inference worker runs, starting before."""

    status: str
    workers: int = 0


@dataclass(frozen=True)
class Model(Answer):
    """The model in service."""

    name: str
    version: str
    fingerprint: str = ""
    backbone: str = ""
    precision: str = ""
    referable_threshold: float | None = None
    vision_threatening_threshold: float | None = None
    metrics: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False)
    data_version: str = ""
    git_commit: str = ""
    card: str = dataclasses.field(default="", repr=False)
    workers: tuple[Worker, ...] = ()
    statement: str = ""
