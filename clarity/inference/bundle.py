"""What is promoted: one directory with everything that decides a result, refused when a byte is not its own.

bundle.json          the typed specification (``spec``), with the sha256 of every other file
model.xml, model.bin OpenVINO IR, fp32; bf16 is the same file, computed in bf16
model.int8.xml, .bin the same network quantised, where that passed parity
model.onnx           the neutral form
weights.safetensors  the network's tensors, to train on from
environment.txt      the lock of the environment that trained it
card.md              the model card
canary-0.jpg …       photographs of known answer, which ride in every night
"""

import hashlib
import shutil
import tempfile
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from clarity.errors import BundleError
from clarity.imaging.fingerprint import fingerprint
from clarity.inference import card, environment, export, processor, spec
from clarity.inference import parity as forms
from clarity.inference.canary import Canary
from clarity.inference.parity import Parity
from clarity.inference.processor import Precision
from clarity.inference.spec import Facts, Spec

CARD = "card.md"
GRAPHS: dict[Precision, str] = {"fp32": export.IR, "bf16": export.IR, "int8": export.IR_INT8}
"""Which file runs at which precision."""


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
        text = _read(path / spec.NAME)
        said = spec.parse(path / spec.NAME, text)
        for (name, expected), found in zip(said.files.items(), _hashes(path, said.files), strict=True):
            if found != expected:
                raise BundleError(f"{path / name}: sha256 {found[:12]}…, altered, the bundle says {expected[:12]}…")
        ours = fingerprint(said.imaging)
        if said.fingerprint != ours:
            raise BundleError(
                f"{path}: imaging fingerprint {said.fingerprint}, this code prepares photographs as {ours}, "
                "so its grades would not be the ones that were evaluated"
            )
        return cls(path, said, hashlib.sha256(text).hexdigest())

    def form(self, precision: Precision) -> Path:
        """The file that runs at ``precision``. Raises BundleError where the bundle has no such form, and says why."""
        if precision in self.spec.forms:
            return self.path / self.spec.forms[precision]
        measured = self.spec.parity.get(precision)
        why = f" ({'; '.join(measured.reasons)})" if measured and measured.reasons else ""
        raise BundleError(f"{self.path}: precision {precision}, the bundle has only {', '.join(self.spec.forms)}{why}")

    def refusal(self) -> str | None:
        """Why it may not be registered, a sentence; None where it may: a draft can be run, and not be promoted."""
        said = self.spec
        if unproven := forms.refusal(said.forms, said.parity):
            return unproven
        if said.abstention is None or said.reference is None:
            return "it does not say when it abstains or what nights are compared with, evaluate it"
        unheard = [name for name in said.forms if not all(name in one.expected for one in said.canaries)]
        if not said.canaries or unheard:
            return f"form {(unheard or ['fp32'])[0]}: no canaries to watch it by"
        return None

    @property
    def card(self) -> str:
        """The model card, Markdown."""
        return (self.path / CARD).read_text(encoding="utf-8")


def write(
    folder: Path,
    *,
    graph: Path,
    facts: Facts,
    parity: Mapping[Precision, Parity] | None = None,
    canaries: Sequence[tuple[Canary, bytes]] = (),
) -> Bundle:
    """Write a bundle from the files that ``export`` wrote to ``graph``; replaces ``folder``; whole or not at all.

    It offers the forms that passed ``parity``; without one it is a draft, which offers every form that ``graph`` has
    so that they can be measured, and which no registry takes. ``canaries`` come with their photographs. The network's
    files are moved, not copied, where both folders are on one disk; ``graph`` may be an earlier bundle. Raises
    BundleError where ``graph`` lacks a file.
    """
    offered = _offered(graph, parity)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".bundle-", dir=folder.parent) as scratch:
        draft = Path(scratch) / "bundle"
        draft.mkdir()
        _move(graph, draft, export.FILES + (export.FILES_INT8 if "int8" in offered else ()))
        (draft / environment.NAME).write_text(environment.lock(), encoding="utf-8")
        ours = fingerprint(facts.imaging)
        (draft / CARD).write_text(card.card(facts, ours, parity or {}), encoding="utf-8")
        for one, photograph in canaries:
            (draft / one.file).write_bytes(photograph)
        names = sorted(file.name for file in draft.iterdir())
        said = Spec(
            **dict(facts),
            format=spec.FORMAT,
            fingerprint=ours,
            forms={precision: GRAPHS[precision] for precision in offered},
            parity=dict(parity or {}),
            canaries=tuple(one for one, _ in canaries),
            files=dict(zip(names, _hashes(draft, names), strict=True)),
        )
        (draft / spec.NAME).write_text(said.model_dump_json(indent=2) + "\n", encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        draft.replace(folder)
    return Bundle.load(folder)


def _offered(graph: Path, parity: Mapping[Precision, Parity] | None) -> list[Precision]:
    if parity is None:
        return [precision for precision, name in GRAPHS.items() if (graph / name).is_file()]
    return [precision for precision in GRAPHS if precision in parity and parity[precision].passed]


def _move(graph: Path, draft: Path, names: tuple[str, ...]) -> None:
    for name in names:
        if not (graph / name).is_file():
            raise BundleError(f"{graph / name}: missing, export the network first")
        shutil.move(graph / name, draft / name)
        (draft / name).chmod(0o644)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path.parent}: {error.strerror}, not a bundle") from None


def _hashes(folder: Path, names: Collection[str]) -> list[str]:
    """One file a core: three hundred megabytes are a good part of what a worker needs until its first answer."""
    with ThreadPoolExecutor(processor.cores()) as pool:
        return list(pool.map(_sha256, (folder / name for name in names)))


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BundleError(f"{path}: {error.strerror}, the bundle is incomplete") from None
