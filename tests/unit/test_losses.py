"""The three losses on one set of logits."""

import pytest
import torch
from torch.nn import functional

from clarity.params import Params
from clarity.training import losses

SURE = torch.eye(5) * 20


def test_each_loss_is_smallest_at_the_reference_grade() -> None:
    for loss in (losses.cross_entropy, losses.ordinal, losses.expected_grade):
        for grade in range(5):
            values = [float(loss(SURE[k : k + 1], torch.tensor([grade]))) for k in range(5)]
            assert values.index(min(values)) == grade, loss.__name__


def test_ordinal_losses_punish_a_far_miss_more_than_a_near_one_and_cross_entropy_does_not() -> None:
    truth = torch.tensor([0])
    for loss in (losses.ordinal, losses.expected_grade):
        assert float(loss(SURE[4:5], truth)) > 1.5 * float(loss(SURE[1:2], truth)), loss.__name__
    near, far = (float(losses.cross_entropy(SURE[k : k + 1], truth)) for k in (1, 4))
    assert near == pytest.approx(far)


def test_the_ordinal_loss_is_the_sum_of_four_questions() -> None:
    logits, truth = torch.randn(7, 5, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 3, 4, 2, 0])
    p = logits.softmax(dim=1)
    worse = torch.stack([p[:, k + 1 :].sum(dim=1) for k in range(4)], dim=1)
    target = (truth[:, None] > torch.arange(4)).float()
    expected = functional.binary_cross_entropy(worse, target, reduction="none").sum(dim=1).mean()
    assert float(losses.ordinal(logits, truth)) == pytest.approx(float(expected), rel=1e-5)


def test_the_expected_grade_of_even_logits_is_two() -> None:
    assert float(losses.expected_grade(torch.zeros(1, 5), torch.tensor([4]))) == pytest.approx(4.0)
    with_share = float(losses.expected_grade(torch.zeros(1, 5), torch.tensor([4]), share=0.5))
    assert with_share == pytest.approx(4.0 + 0.5 * torch.log(torch.tensor(5.0)).item())


@pytest.mark.parametrize(("power", "ratio"), [(1.0, 5.0), (0.5, 5.0**0.5)])
def test_class_weights_are_inverse_frequencies_to_a_power_with_mean_one(power: float, ratio: float) -> None:
    counts = [50, 10, 20, 20, 0]
    weight = losses.class_weights(counts, power)
    assert float((weight * torch.tensor(counts)).sum() / 100) == pytest.approx(1.0)
    assert float(weight[1] / weight[0]) == pytest.approx(ratio)
    assert float(weight[4]) == 0.0


def test_a_weight_scales_each_photograph_by_its_grade() -> None:
    logits, weight = torch.zeros(2, 5), torch.tensor([3.0, 1, 1, 1, 0])
    for loss in (losses.cross_entropy, losses.ordinal, losses.expected_grade):
        alone = [float(loss(logits[:1], torch.tensor([g]))) for g in (0, 4)]
        assert float(loss(logits, torch.tensor([0, 4]), weight)) == pytest.approx((3 * alone[0] + 0 * alone[1]) / 2)


def test_bfloat16_logits_are_judged_in_float32(params: Params) -> None:
    logits = torch.randn(4, 5).bfloat16()
    for name in ("cross_entropy", "ordinal", "expected_grade"):
        loss = losses.build(params.train.model_copy(update={"loss": name}), None)
        assert loss(logits, torch.tensor([0, 1, 2, 3])).dtype == torch.float32
