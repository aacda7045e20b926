"""The contract between the parts: imports go one way, one imaging path for all, nothing happens on import."""

import hashlib
import pkgutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import cv2
import httpx
import numpy as np
import pandas as pd
import pytest
import torch
import typer

from clarity import params as parameters
from clarity.data import manifest, prepared
from clarity.imaging import prepare, to_tensor
from clarity.inference.bundle import Bundle
from clarity.inference.grader import Graded, Grader
from clarity.records import Tensor
from clarity.training import datamodule
from clarity.training.paths import Paths
from tests import recording, tiny

PROJECT = Path(__file__).resolve().parents[1]
ORCHESTRATORS = ("prefect", "litserve", "fastapi", "starlette", "dvc")
HEAVY = ("torch", "torchvision", "pytorch_lightning")
TORCH_FREE = ("imaging", "inference", "storage", "registry", "screening", "data", "stack")
TORCHS_OWN = ("clarity.inference.network", "clarity.inference.torch_gpu")
"""The network itself, and the engine that runs it on a GPU: loaded by training, and by who asks for a GPU."""
THIRD_PARTIES = (*HEAVY, "prefect", "litserve", "openvino", "sklearn.metrics", "matplotlib.pyplot", "boto3", "pydicom")
OVERLAYS = sorted(path.name for path in (PROJECT / "conf").glob("*.yaml") if path.name != "pipeline.yaml")


def modules(package: str) -> list[str]:
    """Every module below a package, by its name, found without importing any."""
    folder = PROJECT / package.replace(".", "/")
    found = [package]
    for info in pkgutil.iter_modules([str(folder)], f"{package}."):
        found += modules(info.name) if info.ispkg else [info.name]
    return [name for name in found if ".migrations" not in name]  # those are Alembic's to run


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter, in the project's folder, with nothing but the given environment."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *arguments],
        cwd=PROJECT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


# one way


def test_imports_go_one_way() -> None:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-logo"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def assert_loads_none_of(unwanted: tuple[str, ...], names: list[str]) -> None:
    """A process that has really imported these modules has loaded none of the unwanted packages."""
    done = python(
        "import importlib, sys\n"
        "for name in sys.argv[1].split(): importlib.import_module(name)\n"
        f"print(*(name for name in {unwanted!r} if name in sys.modules))",
        " ".join(names),
    )
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_the_library_at_run_time_imports_no_orchestrator_and_no_web_framework() -> None:
    """import-linter reads the source; this asks a process that has really imported everything."""
    above = ("clarity.cli", "clarity.bench", "clarity.drill")  # they run flows, as people do
    names = [name for name in modules("clarity") if not name.startswith(above)]
    assert len(names) > 60
    assert_loads_none_of(ORCHESTRATORS, names)


def test_what_screens_and_serves_is_free_of_torch() -> None:
    names = [name for part in TORCH_FREE for name in modules(f"clarity.{part}")] + modules("serving")
    assert_loads_none_of(HEAVY, [name for name in names if name not in TORCHS_OWN])


def test_the_commands_import_nothing_heavy_until_they_run() -> None:
    """``--help`` answers at once."""
    slow = (*ORCHESTRATORS, *HEAVY, "mlflow", "pandas", "cv2", "openvino")
    done = python(f"import sys, clarity.cli\nprint(*(name for name in {slow!r} if name in sys.modules))")
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_nothing_connects_and_nothing_is_written_on_import(tmp_path: Path) -> None:
    """An audit hook sees every connection, and every file that is opened to be written, while all is imported."""
    names = [*modules("clarity"), *modules("serving"), *modules("flows")]
    done = python(
        "import importlib, os, sys\n"
        "ours = sys.argv[2]\n"
        "def hook(event, arguments):\n"
        "    if event in ('socket.connect', 'socket.bind', 'socket.getaddrinfo', 'subprocess.Popen'):\n"
        "        print(event, arguments[-1])\n"
        "    if event == 'open' and isinstance(arguments[1], str) and set(arguments[1]) & set('wax+'):\n"
        "        if str(arguments[0]).startswith(ours) and '__pycache__' not in str(arguments[0]):\n"
        "            print(event, arguments[0])\n"
        "    if event in ('os.mkdir', 'shutil.copyfile') and str(arguments[0]).startswith(ours):\n"
        "        if '__pycache__' not in str(arguments[0]):\n"
        "            print(event, arguments[0])\n"
        # what third parties do while they are imported (torch looks for compilers, ctypes for libraries) is theirs
        f"for name in {THIRD_PARTIES!r}: importlib.import_module(name)\n"
        "sys.addaudithook(hook)\n"
        "for name in sys.argv[1].split(): importlib.import_module(name)\n",
        " ".join(names),
        str(PROJECT),
    )
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


# one configuration, one door


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_overlay_fits_the_configuration(overlay: str) -> None:
    base = parameters.load(PROJECT / "conf/pipeline.yaml")
    assert parameters.load(PROJECT / "conf/pipeline.yaml", PROJECT / "conf" / overlay) != base


def test_a_dumped_configuration_is_the_same_configuration(tmp_path: Path) -> None:
    base = parameters.load(PROJECT / "conf/pipeline.yaml")
    (tmp_path / "copy.yaml").write_text(parameters.dump(base))
    assert parameters.load(tmp_path / "copy.yaml") == base


def commands() -> Iterator[list[str]]:
    """Every command and group that the console script has."""
    from clarity.cli import app

    def below(group: object, path: list[str]) -> Iterator[list[str]]:
        yield path
        for name, command in sorted(getattr(group, "commands", {}).items()):
            yield from below(command, [*path, name])

    yield from below(typer.main.get_command(app), [])


def test_every_command_explains_itself() -> None:
    from typer.testing import CliRunner

    from clarity.cli import app

    found = list(commands())
    names = {" ".join(path) for path in found}
    assert {"ingest", "train", "screen", "serve", "predict", "model list", "model rollback", "data list", "up"} <= names
    for path in found:
        answer = CliRunner().invoke(app, [*path, "--help"])
        assert answer.exit_code == 0, f"{path}: {answer.output}"
        assert "Usage" in answer.output


def test_the_console_script_is_installed_and_answers() -> None:
    scripts = {entry.name: entry for entry in metadata.entry_points(group="console_scripts")}
    assert scripts["clarity"].value == "clarity.cli:main"
    done = subprocess.run(
        [Path(sys.executable).with_name("clarity"), "--help"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "train" in done.stdout


# one imaging path


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The same kinds of file that clinics send: JPEG, turned JPEG, PNG, 16-bit TIFF; all gradable."""
    wide, cut = tiny.eye(seed=1), tiny.eye(500, 300, seed=2)
    deep = (tiny.eye(seed=3).astype(np.uint16) * 257)[:, :, ::-1]
    return {
        ".jpg": tiny.jpeg(wide, 90),
        ".jpeg": turned(tiny.jpeg(cut, 80)),
        ".png": cv2.imencode(".png", tiny.eye(seed=4)[:, :, ::-1])[1].tobytes(),
        ".tif": cv2.imencode(".tif", deep)[1].tobytes(),
    }


def turned(jpeg: bytes) -> bytes:
    """With an EXIF orientation of 6: the camera was held upright."""
    tiff = b"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00"
    exif = b"Exif\x00\x00" + tiff
    return jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:]


@pytest.fixture(scope="module")
def small_bundle(tiny_bundle: Bundle) -> Path:
    return tiny_bundle.path


def by_training(root: Path, photographs: dict[str, bytes]) -> list[Tensor]:
    """What the network is given in training and evaluation, from the stage ``prepare`` on."""
    rows = []
    for suffix, data in photographs.items():
        sha = hashlib.sha256(data).hexdigest()
        path = root / "data" / manifest.photograph_path(sha, suffix)
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
        rows.append({"sha256": sha, "suffix": suffix, "source": "clinic", "name": suffix, "patient": sha, "grade": 0})
    table = pd.DataFrame(rows).reindex(columns=list(manifest.COLUMNS))
    manifest.write(manifest.typed(table), root / "data/manifest.csv")
    prepared.prepare_all(root, tiny.PARAMS.model_copy(update={"imaging": tiny.IMAGING}), jobs=1)
    split = table[["sha256", "patient", "source", "grade"]].assign(eye="left", split="train")
    split.to_csv(root / "artifacts/split.csv", index=False)
    opened = datamodule.PreparedSet.open(Paths(root))
    where = {sha: i for i, sha in enumerate(opened.table["sha256"])}
    images = [opened.images([where[str(row["sha256"])]]) for row in rows]
    assert all(opened.table["gradable"])
    for image in images:  # Lightning's own normalisation, on whatever device, is the one of inference
        nhwc = torch.from_numpy(image).permute(0, 3, 1, 2)
        assert datamodule.normalise(nhwc).numpy().tobytes() == to_tensor(image).tobytes()
    return [to_tensor(image) for image in images]


def by_grader(
    bundle: Path, folder: Path, photographs: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> list[Tensor]:
    """What the network is given by the night's screening and ``clarity predict``."""
    monkeypatch.setenv(recording.FOLDER, str(folder))
    loaded = Bundle.load(bundle)
    with Grader(loaded, recording.RecordingEngine.load(loaded), "1") as grader:
        for data in photographs.values():
            (graded,) = grader.grade([data])
            assert isinstance(graded, Graded), graded
    return recording.recorded(folder)


@contextmanager
def server(bundle: Path, folder: Path) -> Iterator[str]:
    """The address of a live server that records."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = dict.fromkeys(("HOME", "CLARITY_HOME", recording.FOLDER), str(folder))
    environment = home | {"PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-m", "tests.recording", str(bundle), str(port)]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=log, stderr=log)
        try:
            url = f"http://127.0.0.1:{port}"
            for _ in range(180):
                try:
                    if httpx.get(f"{url}/health", timeout=5).status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                assert process.poll() is None, (folder / "server.log").read_text()
                time.sleep(0.5)
            yield url
        finally:
            process.terminate()
            process.wait(60)


def by_http(bundle: Path, folder: Path, photographs: dict[str, bytes]) -> list[Tensor]:
    """What the network is given by the server."""
    with server(bundle, folder) as url:
        for suffix, data in photographs.items():
            answer = httpx.post(f"{url}/predict", files={"image": (f"eye{suffix}", data)}, timeout=60)
            assert answer.status_code == 200, answer.text
    return recording.recorded(folder)


def assert_same(found: list[Tensor], expected: list[Tensor]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert (one.shape, one.dtype, one.tobytes()) == (other.shape, other.dtype, other.tobytes())


def test_training_the_night_and_http_give_the_network_the_same_bytes(
    photographs: dict[str, bytes], small_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("training", "grader", "http"):
        (tmp_path / name).mkdir()
    expected = by_training(tmp_path / "training", photographs)
    assert len({tensor.tobytes() for tensor in expected}) == len(photographs)
    assert_same(by_grader(small_bundle, tmp_path / "grader", photographs, monkeypatch), expected)
    assert_same(by_http(small_bundle, tmp_path / "http", photographs), expected)


def test_real_photographs_too_are_the_same_bytes_in_training_and_in_grading(
    fundus: Path, small_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: dict[str, bytes] = {}
    for path in sorted(fundus.rglob("*.jp*g")):
        data = path.read_bytes()
        if path.suffix not in real and prepare(data, tiny.IMAGING, tiny.PARAMS.quality).quality.gradable:
            real[path.suffix] = data
    assert real
    (tmp_path / "grader").mkdir()
    expected = by_training(tmp_path, real)
    assert_same(by_grader(small_bundle, tmp_path / "grader", real, monkeypatch), expected)
