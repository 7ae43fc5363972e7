"""Group relative policy optimisation: a clipped surrogate on advantages within groups of completions.

The kinds differ in how the tokens' losses l_it are put together, for B completions of |y_i| tokens:

    grpo     mean_i (sum_t l_it / |y_i|)        every completion weighs the same     Shao 2024
    bnpo     sum_it l_it / sum_i |y_i|          every token of this batch does
    dapo     sum_it l_it / num_tokens           the same over a whole step           Yu 2025
    dr_grpo  sum_it l_it / (B max_length)       no reward for short wrong answers    Liu 2025
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from octad_align.checks import check_choice, check_not_negative, check_one_a_row, check_same_shape
from octad_align.errors import AlignError
from octad_align.log_probs import masked_mean, masked_sum, widen
from octad_align.sft import token_count
from octad_align.surrogate import Surrogate, clipped_surrogate, kl_estimate

AGGREGATIONS = ("grpo", "bnpo", "dr_grpo", "dapo")
IMPORTANCES = ("token", "sequence")


@dataclass(frozen=True)
class GrpoLoss:
    """The scalar loss, and means over the batch's tokens (over its completions where the ratio is a sequence's).

    Attributes:
        loss: scalar, with gradient.
        clip_fraction_low: share cut off below, where the advantage is negative.
        clip_fraction_high: share cut off above, where it is positive.
        kl: mean k3 estimate of KL(pi || pi_ref); 0 without a reference.
        entropy: mean of the given entropy; 0 if none was given.
    """

    loss: Float[Tensor, ""]
    clip_fraction_low: Float[Tensor, ""]
    clip_fraction_high: Float[Tensor, ""]
    kl: Float[Tensor, ""]
    entropy: Float[Tensor, ""]

    @property
    def clip_fraction(self) -> Float[Tensor, ""]:
        """Share cut off on either side."""
        return self.clip_fraction_low + self.clip_fraction_high

    def metrics(self) -> dict[str, float]:
        """Return every figure as a float, for a log."""
        return {
            "loss": float(self.loss.detach()),
            "clip_fraction": float(self.clip_fraction),
            "clip_fraction_low": float(self.clip_fraction_low),
            "clip_fraction_high": float(self.clip_fraction_high),
            "kl": float(self.kl),
            "entropy": float(self.entropy),
        }


def grpo_loss(
    log_probs: Float[Tensor, "batch seq"],
    old_log_probs: Float[Tensor, "batch seq"] | None,
    reference_log_probs: Float[Tensor, "batch seq"] | None,
    advantages: Float[Tensor, " batch"] | Float[Tensor, "batch seq"],
    mask: Shaped[Tensor, "batch seq"],
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    beta: float = 0.0,
    aggregation: str = "grpo",
    importance: str = "token",
    max_completion_length: int | None = None,
    num_tokens: int | float | Tensor | None = None,
    entropy: Float[Tensor, "batch seq"] | None = None,
    entropy_weight: float = 0.0,
) -> GrpoLoss:
    """L = agg_it[-min(rho A, clip(rho) A) + beta k3(pi || pi_ref)] - entropy_weight mean(entropy).

    Args:
        log_probs: of the completions' tokens under the policy, with gradient.
        old_log_probs: under the policy that sampled them; None for the first update on a batch (rho = 1).
        reference_log_probs: under the frozen reference; needed when beta > 0, otherwise only reported.
        advantages: one a completion (`group_advantages(...).advantages.flatten()`), or one a token.
        mask: true on the completions' tokens, their end token included.
        clip_low: in [0, 1].
        clip_high: >= 0.
        beta: >= 0, weight of the KL term.
        aggregation: see the module's table.
        importance: rho of each `token`, or of the whole `sequence`: exp(mean_t log-ratio) (GSPO).
        max_completion_length: the longest completion that sampling allows, for `dr_grpo`.
        num_tokens: divisor of `dapo`: tokens of the whole optimiser step (over ranks whose gradients are averaged,
            divided by their number); None counts this batch.
        entropy: of each token's distribution, with gradient if it is to have a weight.
        entropy_weight: >= 0; rewards entropy, to keep exploring.

    Raises:
        AlignError: shapes differ, a number is out of range, or an argument is missing or of no use.
    Source: Shao et al. 2024, eq. 3 (arXiv 2402.03300); Zheng et al. 2025 for `sequence` (arXiv 2507.18071).
    """
    check_same_shape(
        log_probs=log_probs, old_log_probs=old_log_probs, reference_log_probs=reference_log_probs, mask=mask,
        entropy=entropy, advantages=advantages if advantages.ndim == 2 else None,
    )  # fmt: skip
    _check_choices(beta, reference_log_probs, aggregation, importance, max_completion_length, num_tokens)
    _check_entropy(entropy, entropy_weight)
    if advantages.ndim != 2:
        check_one_a_row("advantages", advantages, log_probs.shape[0])
        advantages = advantages.unsqueeze(1)
    keep = mask != 0
    # before any exp, whose backward would turn 0 * inf at a masked position into NaN
    log_probs = widen(log_probs).masked_fill(~keep, 0.0)
    log_ratio = _log_ratio(log_probs, old_log_probs, keep, importance)
    surrogate = clipped_surrogate(log_ratio, widen(advantages).detach(), clip_low=clip_low, clip_high=clip_high)
    losses = surrogate.losses.expand_as(log_probs)
    kl = log_probs.new_zeros(())
    if reference_log_probs is not None:
        token_kl = kl_estimate(log_probs, widen(reference_log_probs).detach().masked_fill(~keep, 0.0))
        kl = masked_mean(token_kl.detach(), keep)
        losses = losses + beta * token_kl if beta else losses
    loss = _aggregate(losses, keep, aggregation, max_completion_length, num_tokens)
    mean_entropy = log_probs.new_zeros(()) if entropy is None else masked_mean(entropy, keep)
    if entropy_weight:
        loss = loss - entropy_weight * mean_entropy
    low, high = _clip_fractions(surrogate, keep)
    return GrpoLoss(loss, low, high, kl, mean_entropy.detach())


def _log_ratio(log_probs: Tensor, old_log_probs: Tensor | None, keep: Tensor, importance: str) -> Tensor:
    old = log_probs if old_log_probs is None else widen(old_log_probs)
    log_ratio = (log_probs - old.detach()).masked_fill(~keep, 0.0)
    return log_ratio if importance == "token" else masked_mean(log_ratio, keep, -1).unsqueeze(-1)


def _aggregate(
    losses: Tensor,
    keep: Tensor,
    aggregation: str,
    max_completion_length: int | None,
    num_tokens: int | float | Tensor | None,
) -> Tensor:
    num_completions = max(losses.shape[0], 1)
    if aggregation == "grpo":
        return masked_mean(losses, keep, -1).sum() / num_completions
    if aggregation == "dr_grpo":
        return masked_sum(losses, keep) / (num_completions * (max_completion_length or 1))
    return masked_sum(losses, keep) / token_count(keep, num_tokens)


def _clip_fractions(surrogate: Surrogate, keep: Tensor) -> tuple[Tensor, Tensor]:
    low, high = surrogate.is_clipped_low.float(), surrogate.is_clipped_high.float()
    if low.shape != keep.shape:  # one ratio a completion; an empty one has nothing to clip
        keep = keep.any(-1, keepdim=True)
    return masked_mean(low, keep), masked_mean(high, keep)


def _check_choices(
    beta: float,
    reference_log_probs: Tensor | None,
    aggregation: str,
    importance: str,
    max_completion_length: int | None,
    num_tokens: int | float | Tensor | None,
) -> None:
    check_choice("aggregation", aggregation, AGGREGATIONS)
    check_choice("importance", importance, IMPORTANCES)
    check_not_negative(beta=beta)
    if beta and reference_log_probs is None:
        raise AlignError(f"beta={beta} weighs a KL to the reference; pass reference_log_probs, or beta=0")
    if aggregation == "dr_grpo" and (max_completion_length is None or max_completion_length < 1):
        raise AlignError(f"max_completion_length={max_completion_length} must be at least 1: dr_grpo divides by it")
    if num_tokens is not None and aggregation != "dapo":
        raise AlignError(f"num_tokens has no use with aggregation={aggregation!r}; use aggregation='dapo'")


def _check_entropy(entropy: Tensor | None, entropy_weight: float) -> None:
    check_not_negative(entropy_weight=entropy_weight)
    if entropy_weight and entropy is None:
        raise AlignError(f"entropy_weight={entropy_weight} needs the entropy of each token; pass entropy=...")


def completion_mask(tokens: Shaped[Tensor, "batch seq"], end_id: int) -> Shaped[Tensor, "batch seq"]:
    """True up to and including the first `end_id` of each row; true throughout a row that never ends."""
    is_end = tokens == end_id
    num_ends_before = is_end.long().cumsum(-1) - is_end.long()
    return torch.eq(num_ends_before, 0)
