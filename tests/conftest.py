"""Fixtures on the real parts: one local stack a session, a fresh database and bucket a test.

``CLARITY_TEST_HOME=folder`` uses a stack that already runs there (``CLARITY_HOME=folder clarity up --detach``) instead
of starting one: quicker while developing.
"""

import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from clarity import params as parameters
from clarity.settings import Settings

if TYPE_CHECKING:
    from clarity.storage.objects import Objects

PROJECT = Path(__file__).resolve().parents[1]
STACK_VARIABLES = re.compile(r"^(CLARITY_|MLFLOW_|PREFECT_|AWS_)")


@pytest.fixture(scope="session", autouse=True)
def _nobody_elses_services() -> None:
    """The addresses of whoever runs the tests are not used by the tests."""
    for name in list(os.environ):
        if STACK_VARIABLES.match(name) and name not in ("CLARITY_FUNDUS", "CLARITY_TEST_HOME"):
            del os.environ[name]


@pytest.fixture(autouse=True)
def _environment_stays() -> Iterator[None]:
    """What a command that runs in this process puts into the environment is not there for the next test."""
    before = dict(os.environ)
    yield
    for name in set(os.environ) - set(before):
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(scope="session")
def fundus() -> Path:
    """The folder of real graded photographs; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("CLARITY_FUNDUS", PROJECT.parent / "shared" / "fundus"))
    if not folder.is_dir():
        pytest.skip(f"real fundus photographs: none at {folder} (set CLARITY_FUNDUS)")
    return folder


@pytest.fixture(scope="session")
def params() -> parameters.Params:
    """The configuration with the tiny values of ``conf/smoke.yaml``."""
    return parameters.load(PROJECT / "conf/pipeline.yaml", PROJECT / "conf/smoke.yaml")


@pytest.fixture(scope="session")
def stack(_nobody_elses_services: None) -> Iterator[Settings]:
    """PostgreSQL, S3, Prefect, MLflow and a worker, really running for the whole session; stopped at its end."""
    from prefect.context import refresh_global_settings_context

    from clarity import stack as parts

    given = os.environ.get("CLARITY_TEST_HOME")
    # not below pytest's own folder: another session would close that to PostgreSQL, which as root runs as its own user
    home = Path(given).resolve() if given else Path(tempfile.mkdtemp(prefix="clarity-stack-"))
    os.environ["CLARITY_HOME"] = str(home)
    os.environ["CLARITY_PROJECT"] = str(PROJECT)
    settings = Settings.load()
    parts.up(settings, parts=("mlflow", "worker"))  # and what they need; tests of the service start their own
    settings = Settings.load()
    os.environ.update(settings.environment())
    refresh_global_settings_context()  # Prefect was imported, and had read its address, before the stack had one
    yield settings
    if not given:
        parts.down(settings)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def _template(stack: Settings) -> str:
    """The name of a migrated, empty database that the tests' databases are copied from."""
    from clarity.storage import database

    name = f"template_{uuid.uuid4().hex[:8]}"
    _administer(stack, f'CREATE DATABASE "{name}"')
    database.upgrade(_url(stack, name))
    return name


@pytest.fixture
def settings(stack: Settings, _template: str) -> Iterator[Settings]:
    """The running stack with a database and a bucket of the test's own; the environment says so too."""
    with _of_its_own(stack, _template) as own:
        yield own


@pytest.fixture(scope="module")
def module_settings(stack: Settings, _template: str) -> Iterator[Settings]:
    """The same for all tests of a module."""
    with _of_its_own(stack, _template) as own:
        yield own


@contextmanager
def _of_its_own(stack: Settings, template: str) -> Iterator[Settings]:
    from clarity.storage.objects import Objects

    name = f"test-{uuid.uuid4().hex[:12]}"
    _administer(stack, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CLARITY_DATABASE_URL", _url(stack, name))
        patched.setenv("CLARITY_S3_BUCKET", name)
        own = Settings.load()
        objects = Objects(own)
        objects.ensure_bucket()
        yield own
    _remove_bucket(objects)
    _administer(stack, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory, params: parameters.Params) -> Path:
    """A whole bundle around a ResNet-50 of random weights: for plumbing, where its answers do not matter."""
    from tests.making import random_bundle

    return random_bundle(tmp_path_factory.mktemp("bundle"), params)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, stack: Settings, params: parameters.Params) -> Path:
    """A workspace in which a tiny model was really trained on phantoms, through DVC's own stages."""
    from tests.making import trained_workspace

    return trained_workspace(tmp_path_factory.mktemp("trained"), stack, params)


@pytest.fixture
def workspace(trained: Path, tmp_path: Path) -> Path:
    """A copy of the trained workspace that a test may change."""
    copy = tmp_path / "workspace"
    shutil.copytree(trained, copy, symlinks=True)
    return copy


def _remove_bucket(objects: "Objects") -> None:
    """Each bucket holds a volume of the local store, and it has some seventy."""
    for entry in objects.list():
        objects.delete(entry.key)
    objects._client.delete_bucket(Bucket=objects.bucket)


def _url(settings: Settings, database: str) -> str:
    return make_url(settings.need("database_url")).set(database=database).render_as_string(hide_password=False)


def _administer(settings: Settings, statement: str) -> None:
    engine = create_engine(settings.need("database_url"), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(text(statement))
    finally:
        engine.dispose()
