"""The local stack on one machine: PostgreSQL, object store, Prefect, MLflow, the online service, a worker; watched."""

from clarity.stack.health import status
from clarity.stack.lifecycle import Started, down, revive, up
from clarity.stack.part import PartStatus

__all__ = ["PartStatus", "Started", "down", "revive", "status", "up"]
