"""A service with a database and a bucket of its own, on the running stack, for the tests of one module."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import DeclarativeBase

from clarity.settings import Settings
from clarity.storage import database, tables
from clarity.storage.objects import Objects
from tests import conftest
from tests.serving.live import Live


@dataclass
class Place:
    """Where a service keeps: seen from behind it."""

    settings: Settings
    engine: Engine
    objects: Objects

    def patient(self, **values: Any) -> UUID:
        with database.session(self.engine) as session:
            made = tables.Patient(external_id=f"P-{uuid.uuid4().hex[:8]}", **values)
            session.add(made)
            session.flush()
            return made.uid

    def count(self, table: type[DeclarativeBase]) -> int:
        with database.session(self.engine) as session:
            return session.scalar(select(func.count()).select_from(table)) or 0

    def everything(self) -> dict[str, int]:
        kinds = (tables.Patient, tables.Scan, tables.Prediction, tables.Outcome, tables.Answered)
        return {kind.__tablename__: self.count(kind) for kind in kinds} | {"objects": len(list(self.objects.list()))}


@contextmanager
def place(stack: Settings, template: str) -> Iterator[Place]:
    name = f"test-{uuid.uuid4().hex[:12]}"
    conftest._administer(stack, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    url = conftest._url(stack, name)
    own = stack.model_copy(update={"s3_bucket": name, "database_url": type(stack.database_url)(url)})  # type: ignore[misc, arg-type, call-arg]
    made = Place(own, database.engine(url), Objects(own))
    made.objects.ensure_bucket()
    yield made
    made.engine.dispose()
    conftest._remove_bucket(made.objects)
    conftest._administer(stack, f'DROP DATABASE "{name}" WITH (FORCE)')


def variables(settings: Settings) -> dict[str, str]:
    """For the service's process."""
    wanted = ("CLARITY_DATABASE_URL", "CLARITY_S3_")
    return {name: value for name, value in settings.environment().items() if name.startswith(wanted)}


def send(
    live: Live, photograph: bytes, patient: UUID | None = None, *, key: str | None = None, **said: Any
) -> httpx.Response:
    """``POST /v1/predict``; what is said stands in the form, the wish for a picture in the address."""
    wish = {name: said.pop(name) for name in ("heatmap", "format", "inline") if name in said}
    form = {name: str(value) for name, value in {"patient": patient, **said}.items() if value is not None}
    headers = {"Idempotency-Key": key} if key else {}
    with live.client as client:
        return client.post(
            "/v1/predict", files={"image": ("eye.jpg", photograph)}, data=form, params=wish, headers=headers
        )


def get(live: Live, path: str, **params: Any) -> Any:
    with live.client as client:
        return client.get(f"/v1{path}", params=params).raise_for_status().json()
