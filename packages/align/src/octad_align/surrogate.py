"""The clipped surrogate that PPO and GRPO share."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from octad_align.checks import check_not_negative
from octad_align.errors import AlignError


@dataclass(frozen=True)
class Surrogate:
    """Losses of single decisions, and which of them the clip has cut off from the gradient.

    Attributes:
        losses: -min(ratio A, clip(ratio) A), with gradient.
        is_clipped_low: ratio < 1 - clip_low where A < 0.
        is_clipped_high: ratio > 1 + clip_high where A > 0.
    """

    losses: Float[Tensor, "batch seq"]
    is_clipped_low: Bool[Tensor, "batch seq"]
    is_clipped_high: Bool[Tensor, "batch seq"]


def clipped_surrogate(
    log_ratio: Float[Tensor, "batch seq"],
    advantages: Float[Tensor, "batch seq"],
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
) -> Surrogate:
    """-min(rho A, clip(rho, 1 - clip_low, 1 + clip_high) A), rho = exp(log_ratio).

    Args:
        log_ratio: log pi(a) - log pi_old(a).
        advantages: of the same shape, or broadcast to it.
        clip_low: in [0, 1].
        clip_high: >= 0; above clip_low it leaves room for unlikely tokens ("clip higher", DAPO).

    Raises:
        AlignError: a bound is out of its range.
    Source: Schulman et al. 2017, eq. 7 (arXiv 1707.06347); Yu et al. 2025 (arXiv 2503.14476).
    """
    check_not_negative(clip_low=clip_low, clip_high=clip_high)
    if clip_low > 1:
        raise AlignError(f"clip_low={clip_low} must be in [0, 1]: a ratio cannot fall below 0; use 1.0 for no bound")
    ratio = log_ratio.exp()
    clipped = ratio.clamp(1 - clip_low, 1 + clip_high)
    return Surrogate(
        losses=-torch.minimum(ratio * advantages, clipped * advantages),
        is_clipped_low=(ratio < 1 - clip_low) & (advantages < 0),
        is_clipped_high=(ratio > 1 + clip_high) & (advantages > 0),
    )


def kl_estimate(log_probs: Float[Tensor, "..."], reference_log_probs: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """k3 = exp(d) - d - 1 with d = log pi_ref - log pi: unbiased for KL(pi || pi_ref), never negative.

    Source: Schulman 2020, "Approximating KL divergence".
    """
    difference = reference_log_probs - log_probs
    # expm1 keeps the digits where the two models agree, the usual case early in a run
    return torch.expm1(difference) - difference
