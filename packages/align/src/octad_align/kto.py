"""Kahneman-Tversky optimisation: single answers marked good or bad instead of pairs."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from octad_align.checks import check_not_negative, check_positive, check_same_shape
from octad_align.log_probs import widen


@dataclass(frozen=True)
class KtoLoss:
    """Losses and implicit rewards of single answers, in the order given.

    Attributes:
        losses: one an answer, weighted, with gradient.
        rewards: beta log(pi / pi_ref) of each, detached.
    """

    losses: Float[Tensor, " batch"]
    rewards: Float[Tensor, " batch"]

    @property
    def loss(self) -> Float[Tensor, ""]:
        """Mean of the losses; 0 for an empty batch."""
        return self.losses.sum() / max(self.losses.numel(), 1)


def kto_reference_point(
    policy_mismatched: Float[Tensor, " batch"], reference_mismatched: Float[Tensor, " batch"]
) -> Float[Tensor, ""]:
    """z0 = max(0, mean log(pi / pi_ref)(y' | x)) over answers y' paired with prompts they do not belong to.

    Returns:
        The estimate of KL(pi || pi_ref), without gradient; 0 for an empty batch.

    Raises:
        AlignError: shapes differ.
    """
    check_same_shape(policy_mismatched=policy_mismatched, reference_mismatched=reference_mismatched)
    ratios = (widen(policy_mismatched) - widen(reference_mismatched)).detach()
    return (ratios.sum() / max(ratios.numel(), 1)).clamp(min=0)


def kto_loss(
    policy: Float[Tensor, " batch"],
    reference: Float[Tensor, " batch"],
    is_desirable: Bool[Tensor, " batch"],
    *,
    reference_point: Float[Tensor, ""] | float = 0.0,
    beta: float = 0.1,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> KtoLoss:
    """L = w_D (1 - sigma(beta (r - z0))) for a good answer, w_U (1 - sigma(beta (z0 - r))) for a bad one.

    Args:
        policy: summed log-probabilities of the answers; r = policy - reference.
        reference: the same under the frozen reference; its gradient is cut.
        is_desirable: the mark of each answer.
        reference_point: z0 from `kto_reference_point`; 0 is APO-zero on single answers.
        beta: > 0.
        desirable_weight: w_D >= 0.
        undesirable_weight: w_U >= 0.

    Raises:
        AlignError: shapes differ or a number is out of its range.
    Source: Ethayarajh et al. 2024, eq. 7 and 8 (arXiv 2402.01306).
    """
    check_same_shape(policy=policy, reference=reference, is_desirable=is_desirable)
    check_positive(beta=beta)
    check_not_negative(desirable_weight=desirable_weight, undesirable_weight=undesirable_weight)
    ratios = widen(policy) - widen(reference).detach()
    is_good = is_desirable != 0
    sign = torch.ones_like(ratios).where(is_good, -1.0)
    weight = torch.full_like(ratios, desirable_weight).where(is_good, undesirable_weight)
    losses = weight * (1 - (beta * sign * (ratios - reference_point)).sigmoid())
    return KtoLoss(losses, beta * ratios.detach())
