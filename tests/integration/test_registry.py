"""Model versions in a real MLflow server on PostgreSQL with artifacts in S3."""

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from clarity.errors import BundleError, NoChampion, StorageError, StorageUnavailable
from clarity.inference.bundle import Bundle
from clarity.inference.spec import NAME as SPEC
from clarity.registry.models import Registry
from clarity.settings import Settings
from tests.integration.registering import new_name, new_run

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def registry(stack: Settings) -> Registry:
    return Registry(stack.need("mlflow_tracking_uri"))


@pytest.fixture(scope="module")
def bundles(tiny_bundles: list[Bundle]) -> tuple[Path, Path]:
    """Two different sound bundles."""
    return tiny_bundles[0].path, tiny_bundles[1].path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_what_is_fetched_is_exactly_the_bundle_directory(
    registry: Registry, bundles: tuple[Path, Path], tmp_path: Path
) -> None:
    ref = registry.register(bundles[0], new_run(registry), new_name())
    fetched = registry.fetch(ref, tmp_path)
    assert contents(fetched) == contents(bundles[0])
    assert [folder.name for folder in (tmp_path / ref.name).iterdir()] == [fetched.name]


def test_a_run_registered_again_is_the_same_version(registry: Registry, bundles: tuple[Path, Path]) -> None:
    name, run = new_name(), new_run(registry)
    first = registry.register(bundles[0], run, name)
    assert registry.register(bundles[0], run, name) == first
    assert (first.version, first.run_id, first.uri) == ("1", run, f"models:/{name}/1")
    assert len(registry.list(name)) == 1


def test_a_run_whose_evaluation_gave_another_bundle_is_another_version(
    registry: Registry, bundles: tuple[Path, Path], tmp_path: Path
) -> None:
    """A changed operating point with a cached training: the same run, and not the same model."""
    name, run = new_name(), new_run(registry)
    first, second = (registry.register(bundle, run, name) for bundle in bundles)
    assert (first.version, second.version) == ("1", "2")
    assert contents(registry.fetch(second, tmp_path)) == contents(bundles[1])


def test_processes_that_register_one_run_at_once_get_one_version(
    registry: Registry, bundles: tuple[Path, Path]
) -> None:
    name, run = new_name(), new_run(registry)
    with ThreadPoolExecutor(4) as pool:
        refs = list(pool.map(lambda _: registry.register(bundles[0], run, name), range(4)))
    assert len({ref.version for ref in refs}) == 1
    assert [ref.version for ref in registry.list(name)] == [refs[0].version]


def test_an_interrupted_upload_is_made_whole_by_the_next_registration(
    registry: Registry, bundles: tuple[Path, Path], tmp_path: Path
) -> None:
    run = new_run(registry)
    experiment = registry.client.get_run(run).info.experiment_id
    tags = {"clarity.run_id": run, "clarity.bundle": Bundle.load(bundles[0]).digest}
    half = registry.client.create_logged_model(experiment, name="bundle", source_run_id=run, tags=tags)
    registry.client.log_model_artifact(half.model_id, str(bundles[0] / SPEC))
    ref = registry.register(bundles[0], run, new_name())
    assert contents(registry.fetch(ref, tmp_path)) == contents(bundles[0])


def test_an_unsound_bundle_is_never_registered(registry: Registry, bundles: tuple[Path, Path], tmp_path: Path) -> None:
    name = new_name()
    broken = tmp_path / "bundle"
    shutil.copytree(bundles[0], broken)
    (broken / "model.bin").write_bytes(b"other weights")
    with pytest.raises(BundleError, match=r"model\.bin"):
        registry.register(broken, new_run(registry), name)
    assert list(registry.list(name)) == []


def test_a_run_that_mlflow_does_not_know_is_named(registry: Registry, bundles: tuple[Path, Path]) -> None:
    with pytest.raises(StorageError, match="0123456789abcdef"):
        registry.register(bundles[0], "0123456789abcdef" * 2, new_name())


def test_a_fetched_version_is_not_downloaded_again(
    registry: Registry, bundles: tuple[Path, Path], tmp_path: Path
) -> None:
    ref = registry.register(bundles[0], new_run(registry), new_name())
    before = (registry.fetch(ref, tmp_path) / SPEC).stat().st_ino
    assert (registry.fetch(ref, tmp_path) / SPEC).stat().st_ino == before


def test_a_damaged_copy_in_the_cache_is_replaced(
    registry: Registry, bundles: tuple[Path, Path], tmp_path: Path
) -> None:
    ref = registry.register(bundles[0], new_run(registry), new_name())
    (registry.fetch(ref, tmp_path) / "model.bin").write_bytes(b"")
    assert contents(registry.fetch(ref, tmp_path)) == contents(bundles[0])


def test_what_was_altered_in_the_store_is_refused(
    registry: Registry, bundles: tuple[Path, Path], tmp_path: Path
) -> None:
    """A sound bundle in the place of the one that was registered is not what was judged."""
    ref = registry.register(bundles[0], new_run(registry), new_name())
    registry.tag(ref, {"clarity.bundle": "0" * 64})
    with pytest.raises(BundleError, match="altered in the store"):
        registry.fetch(ref, tmp_path)
    assert list((tmp_path / ref.name).iterdir()) == []


def test_many_may_fetch_one_version_at_once(registry: Registry, bundles: tuple[Path, Path], tmp_path: Path) -> None:
    ref = registry.register(bundles[0], new_run(registry), new_name())
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: registry.fetch(ref, tmp_path), range(12)))
    assert len(set(found)) == 1
    assert contents(found[0]) == contents(bundles[0])
    assert len(list((tmp_path / ref.name).iterdir())) == 1


def test_without_a_promoted_version_there_is_no_champion(registry: Registry, bundles: tuple[Path, Path]) -> None:
    name = new_name()
    with pytest.raises(NoChampion, match=f"model {name}: no version is promoted"):
        registry.champion(name)
    registry.register(bundles[0], new_run(registry), name)
    with pytest.raises(NoChampion, match=f"model {name}: no version is promoted"):
        registry.champion(name)


def test_aliases_say_who_is_champion_previous_and_challenger(registry: Registry, bundles: tuple[Path, Path]) -> None:
    name = new_name()
    one, two, three = (registry.register(bundles[0], new_run(registry), name) for _ in range(3))
    registry.promote(one)
    registry.promote(two, previous=one.version)
    registry.challenge(three)
    assert registry.champion(name).version == two.version
    assert [(ref.version, ref.alias) for ref in registry.list(name)] == [
        ("3", "challenger"),
        ("2", "champion"),
        ("1", "previous"),
    ]
    assert registry.promote(three, previous=two.version).alias == "champion"
    assert registry.version_of(name, "challenger") is None


def test_the_version_says_where_it_comes_from(registry: Registry, bundles: tuple[Path, Path]) -> None:
    ref = registry.register(bundles[0], new_run(registry), new_name())
    registry.tag(ref, {"clarity.gate": "refused"})
    tags = registry.tags(ref)
    assert tags["clarity.bundle"] == Bundle.load(bundles[0]).digest
    assert {"clarity.data_version", "clarity.git_commit", "clarity.fingerprint", "clarity.backbone"} <= set(tags)
    assert tags["clarity.gate"] == registry.client.get_run(ref.run_id).data.tags["clarity.gate"] == "refused"


def test_a_version_that_does_not_exist_is_named(registry: Registry) -> None:
    name = new_name()
    with pytest.raises(StorageError, match=f"version 7 of model {name}"):
        registry.get(name, "7")


@pytest.mark.timeout(120)
def test_a_server_that_does_not_answer_is_named_without_its_password() -> None:
    registry = Registry("http://ada:secret@127.0.0.1:9")
    with pytest.raises(StorageUnavailable) as caught:
        registry.champion("clarity-dr")
    assert "127.0.0.1:9" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_asking_the_registry_imports_no_torch(stack: Settings) -> None:
    code = (
        "import sys; from clarity.registry.models import Registry\n"
        f"Registry({stack.need('mlflow_tracking_uri')!r}).list('clarity-dr')\n"
        "print(*(name for name in ('torch', 'pytorch_lightning', 'prefect', 'dvc') if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
