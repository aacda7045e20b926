"""The local stack: PostgreSQL, object store, Prefect, MLflow and a worker, started and watched on one machine."""

from clarity.stack.lifecycle import Started, down, status, up
from clarity.stack.part import PartStatus

__all__ = ["PartStatus", "Started", "down", "status", "up"]
