"""What the tests of the registry, the ledger and the training flow share: runs in MLflow and names of their own."""

import uuid

from clarity.registry.models import Registry


def new_run(registry: Registry, experiment: str = "tests") -> str:
    """The id of a new, finished MLflow run."""
    found = registry.client.get_experiment_by_name(experiment)
    number = found.experiment_id if found else registry.client.create_experiment(experiment)
    run = registry.client.create_run(number).info.run_id
    registry.client.set_terminated(run)
    return run


def new_name() -> str:
    """A model of the test's own: MLflow is shared by the session."""
    return f"clarity-{uuid.uuid4().hex[:10]}"
