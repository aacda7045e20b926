"""What is promoted: one directory with everything that decides a result, refused when a byte is not its own.

bundle.json          the typed specification below, with the sha256 of every other file
model.xml, model.bin OpenVINO IR, fp32: what runs
model.onnx           the neutral form
weights.safetensors  the network's tensors, to train on from
environment.txt      the lock of the environment that trained it
card.md              the model card
"""

import hashlib
import re
import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from clarity import grades
from clarity.errors import BundleError
from clarity.imaging.fingerprint import fingerprint
from clarity.inference import card, export
from clarity.inference.decision import Decision
from clarity.params import ImagingParams, QualityParams
from clarity.records import Interval

FORMAT = 1
SPEC = "bundle.json"
ENVIRONMENT = "environment.txt"
CARD = "card.md"
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Thresholds(_Part):
    """Operating points on the calibrated probability of each outcome."""

    referable: float = Field(ge=0, le=1)
    vision_threatening: float = Field(ge=0, le=1)


class Facts(_Part):
    """What training knows and a bundle must say. ``metrics`` are those of the test split, by their plain names."""

    name: str
    backbone: str
    imaging: ImagingParams
    quality: QualityParams
    temperature: float = Field(gt=0)
    decision: Decision
    thresholds: Thresholds
    data_version: str
    """The DVC hash of the data set, or "unversioned"."""
    data_summary: str
    """What it was trained on, a sentence for people; says so where these are phantoms."""
    git_commit: str
    metrics: dict[str, Interval]
    classes: tuple[str, ...] = grades.NAMES
    environment: dict[str, str] = Field(default_factory=lambda: versions())
    """Versions of the libraries that a result depends on; the whole lock is ``environment.txt``."""
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))

    @field_validator("classes")
    @classmethod
    def _five_grades(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value != grades.NAMES:
            raise ValueError(f"{value}, not the five ICDR grades in order")
        return value


class Spec(Facts):
    """``bundle.json``."""

    format: int
    fingerprint: str
    forms: dict[str, str]
    """Which file runs at which precision, for example {"fp32": "model.xml"}."""
    files: dict[str, str]
    """sha256 of every other file of the bundle, by name."""

    @field_validator("files")
    @classmethod
    def _plain_names(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if not _PLAIN_NAME.fullmatch(name):
                raise ValueError(f"{name!r}, not a plain file name")
        return value


@dataclass(frozen=True, slots=True)
class Bundle:
    """A checked bundle. ``Bundle.load(path)`` is the only way to get one to run."""

    path: Path
    spec: Spec
    digest: str
    """sha256 of ``bundle.json``: through its hashes, the identity of the whole bundle."""

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read and check a bundle directory.

        Raises BundleError: no bundle, another format, a malformed specification, a missing or altered file, or an
        imaging fingerprint that is not the one of the code that would run it.
        """
        text = _read(path / SPEC)
        spec = _parse(path, text)
        for name, expected in spec.files.items():
            found = _sha256(path / name)
            if found != expected:
                raise BundleError(f"{path / name}: sha256 {found[:12]}…, altered, the bundle says {expected[:12]}…")
        ours = fingerprint(spec.imaging)
        if spec.fingerprint != ours:
            raise BundleError(
                f"{path}: imaging fingerprint {spec.fingerprint}, this code prepares photographs as {ours}, "
                "so its grades would not be the ones that were evaluated"
            )
        return cls(path, spec, hashlib.sha256(text).hexdigest())

    def form(self, precision: str) -> Path:
        """The file that runs at ``precision``. Raises BundleError where the bundle has no such form."""
        if precision not in self.spec.forms:
            raise BundleError(f"{self.path}: precision {precision}, the bundle has only {', '.join(self.spec.forms)}")
        return self.path / self.spec.forms[precision]

    @property
    def card(self) -> str:
        """The model card, Markdown."""
        return (self.path / CARD).read_text(encoding="utf-8")


def write(folder: Path, *, graph: Path, facts: Facts) -> Bundle:
    """Write a bundle from the files that ``export`` wrote to ``graph``; replaces ``folder``; whole or not at all.

    The network's files are moved, not copied, where both folders are on one disk. Raises BundleError where ``graph``
    lacks a file.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".bundle-", dir=folder.parent) as scratch:
        draft = Path(scratch) / "bundle"
        draft.mkdir()
        for name in export.FILES:
            if not (graph / name).is_file():
                raise BundleError(f"{graph / name}: missing, export the network first")
            shutil.move(graph / name, draft / name)
            (draft / name).chmod(0o644)
        (draft / ENVIRONMENT).write_text(lock(), encoding="utf-8")
        (draft / CARD).write_text(card.card(facts, fingerprint(facts.imaging)), encoding="utf-8")
        spec = Spec(
            **dict(facts),
            format=FORMAT,
            fingerprint=fingerprint(facts.imaging),
            forms={"fp32": export.IR},
            files={file.name: _sha256(file) for file in sorted(draft.iterdir())},
        )
        (draft / SPEC).write_text(spec.model_dump_json(indent=2) + "\n", encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        draft.replace(folder)
    return Bundle.load(folder)


def lock() -> str:
    """Every distribution of this environment with its version, a line each, sorted: a pip requirements file."""
    return "".join(f"{name}=={version}\n" for name, version in sorted(_installed().items()))


def versions() -> dict[str, str]:
    """Versions of the libraries that a grade depends on."""
    names = ("clarity-dr", "numpy", "opencv-python-headless", "openvino", "torch", "torchvision")
    installed = _installed()
    return {name: installed[name] for name in names if name in installed}


def _installed() -> dict[str, str]:
    # A half-removed distribution has no name.
    named = ((dist.metadata["Name"], dist.version) for dist in metadata.distributions())
    return {name.lower().replace("_", "-"): version for name, version in named if name}


def _parse(path: Path, text: bytes) -> Spec:
    try:
        seen = _Header.model_validate_json(text).format
        if seen != FORMAT:
            raise BundleError(f"{path / SPEC}: format {seen}, this version of Clarity reads format {FORMAT}")
        return Spec.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        raise BundleError(f"{path / SPEC}: {where}, {first['msg'][:1].lower()}{first['msg'][1:]}") from None


class _Header(BaseModel):
    format: int


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror}, not a bundle") from None


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror}, the bundle is incomplete") from None
