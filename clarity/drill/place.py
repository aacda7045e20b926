"""Where a drill takes place: Prefect and MLflow of a running stack, a PostgreSQL and an S3 of its own to be broken."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from sqlalchemy import Engine

from clarity import params as parameters
from clarity import stack
from clarity.drill.nursery import Nursery
from clarity.drill.proxy import Proxy, proxy
from clarity.params import LimitParams, Params
from clarity.records import ModelRef
from clarity.registry import promotion, tracking
from clarity.registry.models import Registry
from clarity.settings import Settings
from clarity.storage import database
from clarity.storage.objects import Objects

_PARTS = ("postgres", "s3")
EXPERIMENT = "clarity-drill"
_NO_LIMITS = LimitParams(quarantined_share=1.0, ungradable_share=1.0, review_share=1.0, canaries_changed=0, drift=False)
"""A delivery of the drill is bad on purpose: its nights shall end well where nothing died."""


@dataclass(frozen=True, slots=True)
class Place:
    """Everything that a drill breaks, and the addresses of what it does not."""

    settings: Settings
    """Of the nights: the drill's own PostgreSQL, its own S3 through the proxy, Prefect and MLflow of the stack."""
    breakable: Settings
    """The home of the PostgreSQL and the S3 that a drill may stop."""
    engine: Engine
    objects: Objects
    """Past the proxy: what is checked is what is stored."""
    proxy: Proxy
    configuration: Path
    params: Params
    bundle: Path
    folder: Path
    log: Path
    """Of what its nights say."""
    nursery: Nursery

    def promote_again(self) -> ModelRef:
        """Register the same bundle as the next version and make it the champion."""
        registry = Registry(self.settings.need("mlflow_tracking_uri"))
        ref = registry.register(self.bundle, _run(registry), self.params.model.name)
        return promotion.promote(registry, self.engine, ref, actor="drill", reasons=["the drill's"])


@contextmanager
def place(running: Settings, bundle: Path, configuration: Mapping[str, object]) -> Iterator[Place]:
    """Start what is to be broken in a folder of its own, promote the bundle under a name of its own, clean up after.

    ``configuration`` lays values over the section ``screening``. Raises StackError, StorageError, BundleError.
    """
    with tempfile.TemporaryDirectory(prefix="clarity-drill-", ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch)
        folder.chmod(0o755)  # PostgreSQL does not run as root; its own user has to come through here
        empty = running.model_copy(
            update={"home": folder / "home", "database_url": None, "s3_endpoint_url": None, "s3_bucket": "drill"}
        )
        own = stack.up(empty, parts=_PARTS).settings
        try:
            with proxy(own.need("s3_endpoint_url")) as through:
                yield from _made(running, own, through, bundle, configuration, folder)
        finally:
            stack.down(own, parts=_PARTS)


def _made(
    running: Settings, own: Settings, through: Proxy, bundle: Path, configuration: Mapping[str, object], folder: Path
) -> Iterator[Place]:
    base = parameters.load(running.project / "conf/pipeline.yaml")
    name = f"clarity-drill-{uuid4().hex[:8]}"
    params = base.model_copy(
        update={
            "model": base.model.model_copy(update={"name": name}),
            "screening": base.screening.model_copy(update={"limits": _NO_LIMITS, **configuration}),
        }
    )
    file = folder / "drill.yaml"
    file.write_text(parameters.dump(params), encoding="utf-8")
    database.upgrade(own.need("database_url"))
    engine = database.engine(own.need("database_url"))
    Objects(own).ensure_bucket()
    settings = own.model_copy(update={"home": folder / "night", "s3_endpoint_url": through.url})
    log = folder / "nights.log"
    nursery = Nursery({**os.environ, **settings.environment()}, settings.project, log)
    made = Place(settings, own, engine, Objects(own), through, file, params, bundle, folder, log, nursery)
    try:
        made.promote_again()
        try:
            yield made
        finally:
            Registry(running.need("mlflow_tracking_uri")).client.delete_registered_model(name)
    finally:
        nursery.close()
        engine.dispose()


def _run(registry: Registry) -> str:
    with tracking.named_errors(registry.tracking_uri, f"a run of experiment {EXPERIMENT}"):
        found = registry.client.get_experiment_by_name(EXPERIMENT)
        number = found.experiment_id if found else registry.client.create_experiment(EXPERIMENT)
        run: str = registry.client.create_run(number).info.run_id
        registry.client.set_terminated(run)
        return run
