"""One ResNet-50 at 224 px, three ways to grade and explain with it: Clarity's forms, and as usually written."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from clarity.bench.conf import pipeline
from clarity.imaging import prepare, to_tensor
from clarity.inference.engine import Engine
from clarity.inference.heatmap import heatmap
from clarity.params import QualityParams
from clarity.records import Eye, Tensor

if TYPE_CHECKING:
    import torch
    from torchvision.models import ResNet

    from clarity.inference.bundle import Bundle

IMAGING = pipeline().imaging
SIZE = IMAGING.size
# Not the pipeline's thresholds: a phantom that the gate refused would be one image less of work.
QUALITY = QualityParams(
    min_score=0.0, min_brightness=0.0, max_brightness=1.0, min_sharpness=0.0, min_visible=0.0, min_diameter=0
)
Maps = NDArray[np.float32]
Side = Callable[[Tensor], Maps]
"""(N, 3, 224, 224) -> the heatmaps of the likeliest grades, (N, 224, 224) in 0..1."""


def photographs(count: int) -> NDArray[np.uint8]:
    """(count, 224, 224, 3): phantoms of all grades, drawn and prepared; noise would set no honest int8 ranges."""
    from clarity.data import phantoms

    drawn = (phantoms.draw(seed, seed % 5, size=256, eye=Eye.LEFT) for seed in range(count))
    encoded = (cv2.imencode(".png", one.image[:, :, ::-1])[1].tobytes() for one in drawn)
    return np.stack([prepare(data, IMAGING, QUALITY).image for data in encoded])


def one_megapixel() -> bytes:
    """A phantom as a JPEG."""
    from clarity.data import phantoms
    from clarity.data.phantoms.writing import encode

    return encode(phantoms.draw(1, 2, size=960, eye=Eye.LEFT).image)


def resnet(head: int = 0, std: float = 0.5) -> "torch.nn.Module":
    """A ResNet-50 of random weights, every layer of which matters; another ``head`` has the same trunk."""
    import torch

    from clarity.inference.network import bare

    torch.manual_seed(0)
    network = bare("resnet50").eval()
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            # A trained network has no branch that is multiplied by zero, as one from noise has.
            torch.nn.init.uniform_(part.weight, 0.2, 0.5)
    if head:
        torch.manual_seed(head)
    torch.nn.init.normal_(network.head.weight, std=std)
    return network


def draft(network: "torch.nn.Module", images: NDArray[np.uint8], folder: Path) -> "Bundle":
    """All forms of the network as a bundle, so that what is timed is what grades photographs."""
    from clarity.inference import bundle, export
    from clarity.inference.spec import Facts, Thresholds
    from clarity.training import quantise

    export.export(network, SIZE, folder / "graph")
    quantise.quantise(folder / "graph" / export.IR, folder / "graph" / export.IR_INT8, images)
    facts = Facts(
        name="bench",
        backbone="resnet50",
        imaging=IMAGING,
        quality=QUALITY,
        temperature=1.0,
        decision="argmax",
        thresholds=Thresholds(referable=0.5, vision_threatening=0.5),
        data_version="none",
        data_summary="random weights, for a bench",
        git_commit="none",
        metrics={},
    )
    return bundle.write(folder / "bundle", graph=folder / "graph", facts=facts)


def ours(engine: Engine) -> Side:
    """Grade and heatmap from one pass of the engine."""

    def side(tensor: Tensor) -> Maps:
        scores = engine.run(tensor)
        best = scores.logits.argmax(axis=1)
        grown = [cv2.resize(heatmap(m, int(k)), (SIZE, SIZE)) for m, k in zip(scores.maps, best, strict=True)]
        lifted = [one - one.min() for one in grown]  # pytorch-grad-cam stretches again after resizing
        return np.stack([one / (1e-7 + one.max()) for one in lifted])

    return side


def torchvisions(network: "torch.nn.Module") -> "ResNet":
    """The same weights in torchvision's own class."""
    from torchvision.models import resnet50

    model: ResNet = resnet50(weights=None, num_classes=5).eval()
    state = {name.removeprefix("trunk."): value for name, value in network.state_dict().items()}
    model.load_state_dict({name.replace("head.", "fc."): value for name, value in state.items()})
    return model


def usual(network: "torch.nn.Module") -> Side:
    """The grade in torchvision's own class, and a backward pass for its heatmap."""
    import torch
    from pytorch_grad_cam import GradCAM

    model = torchvisions(network)

    def side(tensor: Tensor) -> Maps:
        with GradCAM(model=model, target_layers=[model.layer4[-1]]) as cam:
            found: Maps = cam(input_tensor=torch.from_numpy(tensor), targets=None)
        return found

    return side


def tensors(images: NDArray[np.uint8], count: int) -> Tensor:
    """The first ``count`` as a batch."""
    return to_tensor(images[:count])
