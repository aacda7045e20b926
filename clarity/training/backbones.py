"""The networks: a convolutional trunk, the mean over space, one linear layer. Nothing else, so a heatmap costs nothing.

``build(params)`` gives ResNet-50 (torchvision) or EfficientNet-Lite0 (timm) behind one interface: ``features``,
``head``, and an input that is always normalised with ImageNet's mean and deviation. A trunk that learnt another
convention is adapted inside the network, so the exported graph carries the adaptation.
"""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from clarity.errors import WeightsUnavailable
from clarity.grades import GRADES
from clarity.imaging.tensor import MEAN, STD
from clarity.params import ModelParams
from clarity.training import starting

Rgb = tuple[float, float, float]
TENSORFLOW: tuple[Rgb, Rgb] = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
"""Mean and deviation that turn 0..1 into -1..1."""
Fetch = Callable[[str], Path]
"""Turns ``models:/name@alias`` into a local folder with that version's bundle."""


class Network(nn.Module):
    """(N, 3, S, S) float32, ImageNet-normalised → (N, 5) logits.

    ``features`` gives the last maps A (N, C, h, w); ``head`` is the linear layer w (5, C), b (5,). The class activation
    map of grade k is Σ_c w[k, c]·A_c (Zhou et al. 2016), and its mean over space plus b[k] is the logit.
    ``convention``: the mean and deviation that the trunk learnt with, where these are not ImageNet's.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self,
        trunk: nn.Module,
        channels: int,
        *,
        convention: tuple[Rgb, Rgb] | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels, len(GRADES))
        nn.init.zeros_(self.head.bias)
        self.adapts = convention is not None
        mean, deviation = torch.from_numpy(MEAN), torch.from_numpy(STD)
        other = torch.tensor(convention) if convention else torch.stack([mean, deviation])
        self.register_buffer("scale", (deviation / other[1]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("shift", ((mean - other[0]) / other[1]).view(1, 3, 1, 1), persistent=False)

    def features(self, x: Tensor) -> Tensor:
        """The last feature maps, (N, C, h, w); at 224 px h = w = 7."""
        maps: Tensor = self.trunk(x * self.scale + self.shift if self.adapts else x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Logits, (N, 5)."""
        logits: Tensor = self.head(self.dropout(self.features(x).mean(dim=(2, 3))))
        return logits


def build(params: ModelParams, *, fetch: Fetch | None = None) -> Network:
    """The configured network with its starting weights.

    ``params.weights``: ``none`` (from noise), ``imagenet``, a file, or ``models:/…`` through ``fetch``.
    Raises WeightsUnavailable where they cannot be had, with a sentence that says what can be had instead.
    """
    network = bare(params)
    if params.weights == "none":
        return network
    if params.weights == "imagenet":
        lite = params.backbone == "efficientnet_lite0"
        state = starting.imagenet_lite0(network.trunk) if lite else starting.imagenet_resnet50()
        network.trunk.load_state_dict(state)
        return network
    _load_own(network, params, fetch)
    return network


def bare(params: ModelParams) -> Network:
    """The architecture with random weights; what an evaluation or an export loads a checkpoint into."""
    return _resnet50(params) if params.backbone == "resnet50" else _lite0(params)


def _resnet50(params: ModelParams) -> Network:
    from torchvision.models import resnet50

    # The last normalisation of every block starts at zero: from noise it starts out shallow (Goyal et al. 2017).
    model = resnet50(weights=None, zero_init_residual=True)
    names = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
    trunk = nn.Sequential(OrderedDict((name, getattr(model, name)) for name in names))
    return Network(trunk, model.fc.in_features, dropout=params.dropout)


def _lite0(params: ModelParams) -> Network:
    try:
        import timm
    except ImportError:
        raise WeightsUnavailable(f"backbone efficientnet_lite0: {starting.LITE_MISSING}") from None
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    names = ("conv_stem", "bn1", "blocks", "conv_head", "bn2")
    trunk = nn.Sequential(OrderedDict((name, getattr(model, name)) for name in names))
    return Network(trunk, model.num_features, convention=TENSORFLOW, dropout=params.dropout)


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
