"""Fixtures on the real parts: one local stack a run, a fresh database and bucket a test.

The processes of a run (pytest-xdist) share that stack, and what else is expensive to make, which the first makes that
needs it: its controller names the folders and ends the stack.

``CLARITY_TEST_HOME=folder`` uses a stack that already runs there (``CLARITY_HOME=folder clarity up --detach``) instead
of starting one: quicker while developing.
"""

import gc
import logging
import os
import re
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import psutil
import pytest
from filelock import FileLock
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from clarity import params as parameters
from clarity.settings import Settings

if TYPE_CHECKING:
    from clarity.inference.bundle import Bundle
    from clarity.storage.objects import Objects

PROJECT = Path(__file__).resolve().parents[1]
STACK_VARIABLES = re.compile(r"^(CLARITY_|MLFLOW_|PREFECT_|AWS_)")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # of torch's threads, before it is loaded: with more processes
# than cores, one that waits by turning keeps another from its work (half of all time, of a backward pass)
os.environ["OPENBLAS_NUM_THREADS"] = "1"  # its threads know no passive policy
# Each HTTP client reads the machine's certificates, for services that here speak plain HTTP: 8 % of all time. A folder
# has none; a test of TLS names its own.
os.environ.pop("SSL_CERT_FILE", None)
os.environ["SSL_CERT_DIR"] = str(PROJECT / "tests")
gc.disable()  # until all is imported and collected: hundreds of thousands of objects that are there to stay
_SHARED, _FAILED = pytest.StashKey[Path](), pytest.StashKey[bool]()
_MEMORY, _ROOM = Path("/dev/shm"), 16 << 30
_FIRST = ("flows/test_drill.py", "integration/test_training_evaluate.py", "integration/test_training_fit.py",
          "integration/test_stack_flows.py")  # fmt: skip
"""One that starts the stack of the run, and long ones that do without: the others would wait for it."""
# A busy machine is no failure, and what fails, fails again. --hypothesis-profile default looks for new examples.
hypothesis.settings.register_profile("clarity", deadline=None, derandomize=True)
hypothesis.settings.load_profile("clarity")


def pytest_configure(config: pytest.Config) -> None:
    """The folder of the whole run: made by its controller, or by the one process that there is."""
    given = getattr(config, "workerinput", {}).get("shared")
    # not below pytest's own folder: another session would close that to PostgreSQL, which as root runs as its own user
    shared = Path(given or tempfile.mkdtemp(prefix="clarity-tests-", dir=_MEMORY if _memory_has_room() else None))
    shared.chmod(0o711)
    config.stash[_SHARED] = shared
    if config.option.basetemp is None:
        config.option.basetemp = shared / "tests"  # beside it: tests link to what it holds


def _memory_has_room() -> bool:
    """Databases, buckets and workspaces by the dozen are written and thrown away: 4 % of all time, on a quick disk.

    They come to some 2 GB, beside the 6 of a run's processes.
    """
    if not os.access(_MEMORY, os.W_OK | os.X_OK):
        return False
    where = os.statvfs(_MEMORY)
    free = min(where.f_bavail * where.f_frsize, psutil.virtual_memory().available)
    return free >= _ROOM and not where.f_flag & os.ST_NOEXEC


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """_FIRST, then the others in their order: folder by folder, those of seconds last, so that all processes end alike.

    A process takes whole files (``--dist loadfile``) in this order (``--no-loadscope-reorder``).
    """
    place = {PROJECT / "tests" / name: number for number, name in enumerate(_FIRST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


def pytest_collection_finish() -> None:
    """What is there by now is not looked at again at each collection of garbage: that was 10 % of all time."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["shared"] = str(node.config.stash[_SHARED])


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    # xdist calls it interrupted where -x ended a run
    session.config.stash[_FAILED] = exitstatus in (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED)


def pytest_unconfigure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput") or _SHARED not in config.stash:
        return
    shared = config.stash[_SHARED]
    if (shared / "stack").exists():
        from clarity import stack as parts

        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("CLARITY_HOME", str(shared / "stack"))
            parts.down(Settings.load())
    if config.stash.get(_FAILED, False) and (shared / "tests").exists():
        kept = Path(tempfile.mkdtemp(prefix="clarity-failed-"))
        with suppress(shutil.Error):  # sockets
            shutil.copytree(shared / "tests", kept, symlinks=True, dirs_exist_ok=True)
        print(f"the folders of what failed are in {kept}")  # noqa: T201
    shutil.rmtree(shared, ignore_errors=True)


def forget_addresses(patched: pytest.MonkeyPatch) -> None:
    """No part of a stack is named by the environment until ``patched`` is undone."""
    for name in filter(STACK_VARIABLES.match, list(os.environ)):
        patched.delenv(name)


def once(folder: Path, name: str, make: Callable[[Path], Path]) -> Path:
    """What ``make`` leaves in a folder of its own: made by the first process that asks; the others wait for it."""
    with FileLock(folder / f"{name}.lock"):
        made = folder / f"{name}.made"
        if not made.exists():
            shutil.rmtree(folder / name, ignore_errors=True)
            (folder / name).mkdir()
            made.write_text(str(make(folder / name)))
        return Path(made.read_text())


@pytest.fixture(scope="session")
def shared(request: pytest.FixtureRequest) -> Path:
    """A folder of all processes of this run."""
    return request.config.stash[_SHARED]


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


@pytest.fixture
def caplog(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """pytest's, held to Clarity's own loggers too: whoever configures Python's logging meanwhile, as Prefect does when
    it is imported, takes pytest's handler from the root.
    """
    ours = logging.getLogger("clarity")
    ours.addHandler(caplog.handler)
    propagates, ours.propagate = ours.propagate, False
    yield caplog
    ours.removeHandler(caplog.handler)
    ours.propagate = propagates


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
def resnet(params: parameters.Params) -> parameters.Params:
    """The same with the default network, for what could differ with it."""
    return params.model_copy(update={"model": params.model.model_copy(update={"backbone": "resnet50"})})


@pytest.fixture(scope="session")
def stack(_nobody_elses_services: None, shared: Path) -> Settings:
    """PostgreSQL, S3, Prefect, MLflow and a worker, really running for the whole run; stopped at its end."""
    from prefect.context import refresh_global_settings_context

    from clarity import stack as parts

    given = os.environ.get("CLARITY_TEST_HOME")
    os.environ["CLARITY_HOME"] = str(Path(given).resolve() if given else shared / "stack")
    os.environ["CLARITY_PROJECT"] = str(PROJECT)
    # and what they need; tests of the service start their own. Another process that comes first does the work
    parts.up(Settings.load(), parts=("mlflow", "worker"))
    settings = Settings.load()
    os.environ.update(settings.environment())
    refresh_global_settings_context()  # Prefect was imported, and had read its address, before the stack had one
    return settings


@pytest.fixture(scope="session")
def initialised(shared: Path) -> Callable[[Path], None]:
    """Puts into a home that is still empty what the first start of its PostgreSQL would make: a copy takes no time."""

    def start_once(folder: Path) -> Path:
        from clarity import stack as parts

        with pytest.MonkeyPatch.context() as patched:
            forget_addresses(patched)
            settings = Settings(CLARITY_HOME=folder)
            parts.up(settings, parts=("postgres",))
            parts.down(settings)
        return folder

    def fill(home: Path) -> None:
        made = once(shared, "initialised", start_once)
        (home / "stack").mkdir(parents=True)
        for name in ("postgres", "stack/credentials.json", "stack/identity.json"):
            subprocess.run(["cp", "-a", made / name, home / name], check=True)  # and whose it is

    return fill


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
def bundle(shared: Path, params: parameters.Params) -> Path:
    """A whole bundle around a ResNet-50 of random weights: for plumbing, where its answers do not matter."""
    from tests.making import random_bundle

    return once(shared, "bundle", lambda folder: random_bundle(folder, params))


@pytest.fixture(scope="session")
def tiny_bundles(shared: Path) -> "list[Bundle]":
    """Three whole bundles around networks that grade in no time, each with weights of its own. Nobody changes them."""
    from clarity.inference.bundle import Bundle
    from tests import tiny

    def write(folder: Path) -> Path:
        for seed in range(3):
            tiny.write_bundle(folder / str(seed), tiny.TinyNetwork(seed))
        return folder

    made = once(shared, "tiny", write)
    return [Bundle.load(made / str(seed) / "bundle") for seed in range(3)]


@pytest.fixture(scope="session")
def tiny_bundle(tiny_bundles: "list[Bundle]") -> "Bundle":
    """The first of them."""
    return tiny_bundles[0]


@pytest.fixture(scope="session")
def trained(shared: Path, stack: Settings, params: parameters.Params) -> Path:
    """A workspace in which a tiny model was really trained on phantoms, through DVC's own stages."""
    from tests.making import trained_workspace

    return once(shared, "trained", lambda folder: trained_workspace(folder, stack, params))


def _copied(source: str, target: str) -> None:
    """Networks are shared: who makes one writes a new file, and a dozen copies of 700 MB kept the disk busy."""
    if Path(source).stat().st_size > 1 << 20:
        Path(target).hardlink_to(source)
    else:
        shutil.copy2(source, target)


@pytest.fixture
def workspace(trained: Path, tmp_path: Path) -> Path:
    """A copy of the trained workspace that a test may change."""
    copy = tmp_path / "workspace"
    shutil.copytree(trained, copy, symlinks=True, copy_function=_copied)
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
