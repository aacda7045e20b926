"""Expensive real things that the fixtures share: a bundle for plumbing, a workspace with a really trained model."""

from pathlib import Path

from clarity.params import Params
from clarity.settings import Settings

PROJECT = Path(__file__).resolve().parents[1]


def random_bundle(folder: Path, params: Params) -> Path:
    """A bundle around a ResNet-50 of random weights at the configuration's size. Its grades mean nothing."""
    import torch

    from clarity.inference import export, spec
    from clarity.inference.abstention import Abstention
    from clarity.params import ModelParams
    from clarity.training import backbones, canaries
    from tests import tiny

    torch.manual_seed(0)
    network = backbones.build(ModelParams(name="plumbing", backbone="resnet50", weights="none", dropout=0.0))
    torch.nn.init.normal_(network.head.weight, std=0.5)
    export.export(network, params.imaging.size, folder / "graph")
    facts = spec.Facts(
        name="plumbing",
        backbone="resnet50",
        imaging=params.imaging,
        quality=params.quality,
        temperature=1.0,
        decision="expected",
        thresholds=spec.Thresholds(referable=0.5, vision_threatening=0.5),
        data_version="unversioned",
        data_summary="random weights, for plumbing",
        git_commit="unknown",
        abstention=Abstention(margin=0.02, energy=None),
        reference=tiny.REFERENCE,
        metrics={},
    )
    parity = tiny.measure(network.eval(), folder / "graph", params.imaging.size)
    return canaries.write(folder / "bundle", graph=folder / "graph", facts=facts, parity=parity, count=2).path


def trained_workspace(folder: Path, settings: Settings, params: Params) -> Path:
    """Phantoms drawn, ingested, prepared, split, trained on and evaluated: every step the real one, only small."""
    from clarity.data import phantoms
    from clarity.data.ingest import ingest
    from clarity.data.workspace import Workspace
    from clarity.storage.objects import Objects

    phantoms.write(folder / "phantoms", params.phantoms)
    workspace = Workspace.create(PROJECT, folder / "workspace", params, settings)
    ingest(workspace, "phantoms", folder / "phantoms", params, Objects(settings))
    with workspace.lock():  # as in a training: one DVC for all of them
        for stage in workspace.stages():
            workspace.repro(stage)
    return workspace.path
