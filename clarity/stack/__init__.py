"""The local stack: PostgreSQL, object store, Prefect, MLflow and a worker, started and watched on one machine."""

from clarity.stack.health import status
from clarity.stack.lifecycle import Started, down, revive, up
from clarity.stack.part import PartStatus

__all__ = ["PartStatus", "Started", "down", "revive", "status", "up"]
