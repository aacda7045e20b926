"""Model versions to promote: ResNet-50s of one random trunk whose heads differ, so that every answer names its own."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clarity.bench import network as nets
from clarity.bench.conf import pipeline
from clarity.inference import export, processor, shares, spec
from clarity.inference.abstention import Abstention
from clarity.inference.bundle import Bundle
from clarity.inference.drift import Reference
from clarity.inference.parity import Parity
from clarity.inference.processor import PRECISIONS, Precision

if TYPE_CHECKING:
    import torch

NAME = "clarity-bench"
_CALIBRATION = 32
_HEAD = 150.0
"""The features of a random trunk are small: with it probabilities are neither all alike nor all 0 and 1."""
_EVEN = Reference(
    quality=shares.binned(np.linspace(0.0, 1.0, 60), 60),
    score=shares.binned(np.linspace(0.0, 1.0, 60), 60),
    cameras=shares.mix([None] * 60, 60),
    false_alarms=0.001,
)


def version(folder: Path, number: int) -> "tuple[Bundle, torch.nn.Module]":
    """A bundle that a registry takes, in all forms that this machine computes in, and the network that it was made of.

    Random weights have no grades to be right about, so the forms are passed without a yardstick: what is measured is
    the form in which a trained network is served. The bundle never leaves the folder of the bench.
    """
    from clarity.training import canaries, quantise

    network = nets.resnet(number, _HEAD)
    graph = folder / f"graph-{number}"
    export.export(network, nets.SIZE, graph)
    images = nets.photographs(_CALIBRATION)
    quantise.quantise(graph / export.IR, graph / export.IR_INT8, images)
    count = pipeline().evaluate.canaries
    return canaries.write(
        folder / f"version-{number}", graph=graph, facts=facts(), parity=_passed(), count=count
    ), network


def usual(network: "torch.nn.Module") -> "dict[str, torch.Tensor]":
    """The same weights under torchvision's names."""
    return dict(nets.torchvisions(network).state_dict())


def _passed() -> dict[Precision, Parity]:
    native = processor.here()
    return {p: Parity.same(1) if p in native else Parity.unmeasured("not native here") for p in PRECISIONS}


def facts() -> spec.Facts:
    """What the bundle says of itself: nothing that a clinic could take for a model."""
    return spec.Facts(
        name=NAME,
        backbone="resnet50",
        imaging=nets.IMAGING,
        quality=nets.QUALITY,
        temperature=1.0,
        decision="argmax",
        thresholds=spec.Thresholds(referable=0.5, vision_threatening=0.5),
        abstention=Abstention(margin=0.0, energy=None),
        reference=_EVEN,
        data_version="none",
        data_summary="random weights, for a bench",
        git_commit="none",
        metrics={},
    )
