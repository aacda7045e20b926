"""Three losses on the same five logits, so the bundle, the heatmap and the calibration never ask which one it was."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from clarity.grades import GRADES
from clarity.params import TrainParams

Loss = Callable[[Tensor, Tensor], Tensor]
"""(N, 5) logits, (N,) int64 grades → the mean loss, a scalar."""


def build(params: TrainParams, weight: Tensor | None) -> Loss:
    """The configured loss; ``weight`` (5,) scales each photograph by its grade, None weighs all alike."""
    if params.loss == "cross_entropy":
        return lambda logits, grades: cross_entropy(logits, grades, weight)
    if params.loss == "ordinal":
        return lambda logits, grades: ordinal(logits, grades, weight)
    share = params.cross_entropy_share
    return lambda logits, grades: expected_grade(logits, grades, weight, share)


def class_weights(counts: list[int], power: float) -> Tensor:
    """(5,) inverse frequencies to the ``power``, mean 1 over the photographs; a grade without photographs weighs 0."""
    number = torch.tensor(counts, dtype=torch.float32)
    present = number > 0
    weight = torch.zeros(len(counts))
    weight[present] = number[present] ** -power
    return weight * number.sum() / (weight * number).sum()


def cross_entropy(logits: Tensor, grades: Tensor, weight: Tensor | None = None) -> Tensor:
    """Negative log-likelihood of the reference grade."""
    return _mean(functional.cross_entropy(logits.float(), grades, reduction="none"), grades, weight)


def ordinal(logits: Tensor, grades: Tensor, weight: Tensor | None = None) -> Tensor:
    """Binary cross-entropy of "worse than k" for k = 0..3, whose probabilities are the softmax's tails.

    A miss by two grades is wrong in two of the four questions (after Frank and Hall 2001, on shared logits).
    """
    logits = logits.float()
    tails = [
        torch.logsumexp(logits[:, k + 1 :], dim=1) - torch.logsumexp(logits[:, : k + 1], dim=1) for k in GRADES[:-1]
    ]
    worse = (grades[:, None] > torch.tensor(GRADES[:-1], device=grades.device)[None, :]).float()
    each = functional.binary_cross_entropy_with_logits(torch.stack(tails, dim=1), worse, reduction="none")
    return _mean(each.sum(dim=1), grades, weight)


def expected_grade(logits: Tensor, grades: Tensor, weight: Tensor | None = None, share: float = 0.0) -> Tensor:
    """Squared error of the mean grade under the softmax, what QWK rewards, plus ``share`` times cross-entropy.

    The squared error alone is indifferent between "surely 2" and "half 0, half 4": the cross-entropy is what makes
    the probabilities mean something.
    """
    logits = logits.float()
    levels = torch.tensor(GRADES, dtype=torch.float32, device=logits.device)
    each = (logits.softmax(dim=1) @ levels - grades.float()) ** 2
    if share:
        each = each + share * functional.cross_entropy(logits, grades, reduction="none")
    return _mean(each, grades, weight)


def _mean(each: Tensor, grades: Tensor, weight: Tensor | None) -> Tensor:
    return each.mean() if weight is None else (each * weight.to(each.device)[grades]).mean()
