"""What may change in a photograph before it is learnt from, and what may not."""

import torch

from clarity.params import Params
from clarity.training.datamodule import augmentation


def fundus() -> torch.Tensor:
    """A grey disc on black with one red spot, (3, 64, 64) uint8."""
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    image = (((x - 32) ** 2 + (y - 32) ** 2) < 28**2).to(torch.uint8).mul(100).repeat(3, 1, 1)
    image[0, 20:26, 40:46] = 255
    return image


def test_two_photographs_of_a_batch_are_changed_differently(params: Params) -> None:
    change = augmentation(params.train)
    assert change is not None
    torch.manual_seed(0)
    made = [change(fundus()) for _ in range(8)]
    assert len({bytes(one.numpy()) for one in made}) == 8
    assert all(one.shape == (3, 64, 64) and one.dtype == torch.uint8 for one in made)


def test_outside_the_field_of_view_stays_black(params: Params) -> None:
    change = augmentation(params.train.model_copy(update={"brightness": 0.0, "contrast": 0.0}))
    assert change is not None
    torch.manual_seed(0)
    for _ in range(8):
        assert int(change(fundus())[:, 0, 0].max()) == 0


def test_nothing_configured_changes_nothing(params: Params) -> None:
    off = {"flip": False, "rotate_degrees": 0.0, "scale": 0.0, "brightness": 0.0, "contrast": 0.0}
    assert augmentation(params.train.model_copy(update=off)) is None


def test_the_photograph_that_is_augmented_is_left_as_it_was(params: Params) -> None:
    image = fundus()
    before = image.clone()
    change = augmentation(params.train)
    assert change is not None
    change(image)
    assert torch.equal(image, before)
