"""A network of the real interface that exports in seconds, and bundles of it: for tests of plumbing."""

import hashlib
import json
import shutil
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from clarity import params as parameters
from clarity.imaging import to_tensor
from clarity.inference import bundle, export, shares, spec
from clarity.inference.abstention import Abstention
from clarity.inference.drift import Reference
from clarity.inference.parity import Parity
from clarity.inference.processor import Precision
from clarity.records import Image
from clarity.training import canaries, forms
from clarity.training.metrics import Operating

SIZE = 64
PARAMS = parameters.load(Path(__file__).resolve().parents[1] / "conf/pipeline.yaml")
IMAGING = PARAMS.imaging.model_copy(update={"size": SIZE})
CANARIES = 3
REFERENCE = Reference(
    quality=shares.binned(np.linspace(0.4, 1.0, 60), 60),
    score=shares.binned(np.linspace(0.0, 1.0, 50), 50),
    cameras=shares.mix([None] * 60, 60),
    false_alarms=0.001,
)


class TinyNetwork(nn.Module):
    """Two convolutions, a mean over space, one linear layer; random weights of a fixed seed."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.trunk = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=4), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU()
        )
        self.head = nn.Linear(16, 5)
        with torch.no_grad():
            self.head.weight.mul_(8)

    def features(self, x: Tensor) -> Tensor:
        return self.trunk(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).mean(dim=(2, 3)))


def facts(**changes: object) -> spec.Facts:
    values: dict[str, object] = {
        "name": "clarity-dr",
        "backbone": "tiny",
        "imaging": IMAGING,
        "quality": PARAMS.quality,
        "temperature": 1.5,
        "decision": "expected",
        "thresholds": spec.Thresholds(referable=0.4, vision_threatening=0.3),
        "data_version": "unversioned",
        "data_summary": "Nothing: its weights are random.",
        "git_commit": "0000000",
        "abstention": Abstention(margin=0.03, energy=5.0),
        "reference": REFERENCE,
        "metrics": {"qwk": {"value": 0.1, "low": -0.1, "high": 0.3, "n": 40}},
    }
    return spec.Facts.model_validate(values | changes)


def write_bundle(
    folder: Path, network: nn.Module | None = None, *, precisions: tuple[Precision, ...] = ("fp32",), **changes: object
) -> bundle.Bundle:
    """Export, compare with torch and write ``folder/bundle`` with the forms that passed and canaries."""
    network = network or TinyNetwork()
    export.export(network, SIZE, folder / "graph")
    parity = measure(network, folder / "graph", SIZE, precisions)
    given = facts(**changes)
    return canaries.write(folder / "bundle", graph=folder / "graph", facts=given, parity=parity, count=CANARIES)


def broken(sound: bundle.Bundle, folder: Path, how: str) -> bundle.Bundle:
    """A bundle whose canaries come back otherwise than it says, whose network cannot be compiled."""
    copy = shutil.copytree(sound.path, folder / how)
    said = json.loads((copy / spec.NAME).read_text())
    if how == "canaries":
        for canary in said["canaries"]:
            for expected in canary["expected"].values():
                expected["probabilities"] = [1.0, 0.0, 0.0, 0.0, 0.0] if expected["gradable"] else []
    else:
        (copy / "model.xml").write_text("<net/>")
        said["files"]["model.xml"] = hashlib.sha256(b"<net/>").hexdigest()
    (copy / spec.NAME).write_text(json.dumps(said))
    return bundle.Bundle.load(copy)


PASSED = Parity.same(9)


def measure(
    network: nn.Module, graph: Path, size: int, precisions: tuple[Precision, ...] = ("fp32",)
) -> dict[Precision, Parity]:
    """The real comparison, on drawn noise of which every grade is claimed."""
    pixels = np.random.default_rng(5).integers(0, 256, (20, size, size, 3), dtype=np.uint8)
    on = forms.Yardstick(lambda: [to_tensor(pixels)], np.arange(20) % 5, 1.5, Operating("expected", 0.4, 0.3))
    return forms.measure(network, graph, on, pixels, precisions)


def eye(width: int = 420, height: int = 320, *, seed: int = 0) -> Image:
    """A photograph that the quality gate lets pass: a textured orange disc with a bright spot and dark vessels."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    radius = 0.46 * min(width, height)
    distance = np.hypot(x - width / 2, y - height / 2) / radius
    image = np.zeros((height, width, 3), np.float32)
    image[:] = np.array([190, 95, 45], np.float32) * (1.05 - 0.35 * distance[:, :, None] ** 2)
    for angle in np.linspace(0, 2 * np.pi, 14, endpoint=False):
        start = (int(width / 2 + 0.5 * radius), int(height / 2))
        end = (int(width / 2 + radius * np.cos(angle)), int(height / 2 + radius * np.sin(angle)))
        cv2.line(image, start, end, (110.0, 35.0, 20.0), 2, cv2.LINE_AA)
    cv2.circle(image, (int(width / 2 + 0.5 * radius), int(height / 2)), int(0.16 * radius), (250.0, 215.0, 150.0), -1)
    image += random.normal(0, 3, image.shape)
    image[distance > 1] = 0
    return np.clip(image, 0, 255).astype(np.uint8)


def jpeg(image: Image, quality: int = 95) -> bytes:
    return cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def bomb(width: int = 50_000, height: int = 50_000) -> bytes:
    """A PNG of few bytes whose header promises many pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(10_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
