"""A configured network with its starting weights: from noise, from ImageNet, from a file, from the registry."""

from collections.abc import Callable
from pathlib import Path

from torch import nn

from clarity.errors import WeightsUnavailable
from clarity.inference.network import Network, bare
from clarity.params import ModelParams
from clarity.training import starting

Fetch = Callable[[str], Path]
"""Turns ``models:/name@alias`` into a local folder with that version's bundle."""


def build(params: ModelParams, *, fetch: Fetch | None = None) -> Network:
    """The configured network with its starting weights.

    ``params.weights``: ``none`` (from noise), ``imagenet``, a file, or ``models:/…`` through ``fetch``.
    Raises WeightsUnavailable where they cannot be had, with a sentence that says what can be had instead.
    """
    network = bare(params.backbone, params.dropout)
    if params.weights == "none":
        return network
    if params.weights == "imagenet":
        lite = params.backbone == "efficientnet_lite0"
        state = starting.imagenet_lite0(network.trunk) if lite else starting.imagenet_resnet50()
        network.trunk.load_state_dict(state)
        return network
    _load_own(network, params, fetch)
    return network


def _load_own(network: Network, params: ModelParams, fetch: Fetch | None) -> None:
    where = params.weights
    if where.startswith("models:/"):
        if fetch is None:
            raise WeightsUnavailable(f"weights {where}: no model registry is configured, set MLFLOW_TRACKING_URI")
        path = fetch(where)
    else:
        path = Path(where)
    state = starting.read(path)
    if any(key.startswith("trunk.") for key in state):
        target: nn.Module = network
    else:  # a plain torchvision or timm file: its own classifier is not ours
        target = network.trunk
        state = {key: value for key, value in state.items() if key.split(".")[0] not in ("fc", "classifier")}
    wanted = {key: value.shape for key, value in target.state_dict().items() if not key.endswith("num_batches_tracked")}
    odd = [key for key, shape in wanted.items() if key not in state or state[key].shape != shape]
    odd += [key for key in state if key not in target.state_dict()]
    if odd:
        raise WeightsUnavailable(f"weights {where}: not those of a {params.backbone}, {odd[0]} does not fit")
    target.load_state_dict(state, strict=False)
