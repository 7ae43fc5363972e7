"""Proximal policy optimisation: generalised advantages, clipped policy and value losses."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from octad_align.checks import check_not_negative, check_one_a_row, check_positive, check_same_shape
from octad_align.errors import AlignError
from octad_align.log_probs import masked_mean, masked_sum, widen
from octad_align.sft import token_count
from octad_align.surrogate import clipped_surrogate


@dataclass(frozen=True)
class Advantages:
    """Generalised advantages and the returns that the value function is to learn; 0 where masked."""

    advantages: Float[Tensor, "batch seq"]
    returns: Float[Tensor, "batch seq"]


@dataclass(frozen=True)
class PpoLoss:
    """A scalar loss with the share that was clipped.

    Attributes:
        loss: scalar, with gradient.
        clip_fraction: share of the tokens that the clip cut off from the gradient.
        kl: mean estimate of KL(pi_old || pi); 0 for a value loss.
    """

    loss: Float[Tensor, ""]
    clip_fraction: Float[Tensor, ""]
    kl: Float[Tensor, ""]


def generalized_advantages(
    rewards: Float[Tensor, "batch seq"],
    values: Float[Tensor, "batch seq"],
    mask: Shaped[Tensor, "batch seq"] | None = None,
    *,
    gamma: float = 1.0,
    gae_lambda: float = 0.95,
    last_values: Float[Tensor, " batch"] | None = None,
    is_terminal: Bool[Tensor, "batch seq"] | None = None,
) -> Advantages:
    """A_t = delta_t + gamma lambda A_(t+1), delta_t = r_t + gamma V_(t+1) - V_t; returns are A + V.

    Args:
        rewards: after each step.
        values: V of the state before each step.
        mask: true on real steps; the others are stepped over, wherever they stand. None: all are real.
        gamma: discount in [0, 1]; 1 for completions.
        gae_lambda: in [0, 1]: 0 is one-step, 1 is Monte Carlo.
        last_values: V of the state after the last step, for a sequence that was cut off; None: it ended, V = 0.
        is_terminal: true where an episode ends inside the row: nothing flows back across it.

    Raises:
        AlignError: shapes differ or a number is out of its range.
    Cost: a loop over seq of vectors of size batch.
    Source: Schulman et al. 2016, eq. 16 (arXiv 1506.02438).
    """
    check_same_shape(rewards=rewards, values=values, mask=mask, is_terminal=is_terminal)
    if rewards.ndim != 2:
        raise AlignError(f"rewards has shape {tuple(rewards.shape)}; use (batch, seq)")
    if not (0 <= gamma <= 1 and 0 <= gae_lambda <= 1):
        raise AlignError(f"gamma={gamma} and gae_lambda={gae_lambda} must both be in [0, 1]")
    rewards, values = widen(rewards).detach(), widen(values).detach()
    keep = torch.ones_like(values, dtype=torch.bool) if mask is None else mask != 0
    goes_on = torch.ones_like(values) if is_terminal is None else (is_terminal == 0).to(values.dtype)
    next_value = values.new_zeros(values.shape[0]) if last_values is None else widen(last_values).detach()
    check_one_a_row("last_values", next_value, values.shape[0])
    advantage = torch.zeros_like(next_value)
    advantages = torch.zeros_like(values)
    for t in range(values.shape[1] - 1, -1, -1):
        delta = rewards[:, t] + gamma * goes_on[:, t] * next_value - values[:, t]
        here = delta + gamma * gae_lambda * goes_on[:, t] * advantage
        advantage = torch.where(keep[:, t], here, advantage)
        next_value = torch.where(keep[:, t], values[:, t], next_value)
        advantages[:, t] = here
    advantages = advantages.masked_fill(~keep, 0.0)
    return Advantages(advantages, (advantages + values).masked_fill(~keep, 0.0))


def ppo_policy_loss(
    log_probs: Float[Tensor, "batch seq"],
    old_log_probs: Float[Tensor, "batch seq"],
    advantages: Float[Tensor, "batch seq"],
    mask: Shaped[Tensor, "batch seq"],
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    num_tokens: int | float | Tensor | None = None,
) -> PpoLoss:
    """L = -mean_t min(rho_t A_t, clip(rho_t, 1 - clip_low, 1 + clip_high) A_t).

    Args:
        log_probs: under the policy, with gradient.
        old_log_probs: under the policy that acted.
        advantages: from `generalized_advantages`, usually whitened.
        mask: true on real steps.
        clip_low: in [0, 1].
        clip_high: >= 0.
        num_tokens: divisor; None counts the mask.

    Raises:
        AlignError: shapes differ or a number is out of its range.
    Source: Schulman et al. 2017, eq. 7 (arXiv 1707.06347).
    """
    check_same_shape(log_probs=log_probs, old_log_probs=old_log_probs, advantages=advantages, mask=mask)
    keep = mask != 0
    log_ratio = (widen(log_probs) - widen(old_log_probs).detach()).masked_fill(~keep, 0.0)
    surrogate = clipped_surrogate(log_ratio, widen(advantages).detach(), clip_low=clip_low, clip_high=clip_high)
    is_clipped = (surrogate.is_clipped_low | surrogate.is_clipped_high).float()
    # E_old[rho - 1 - log rho] = KL(pi_old || pi), seen from the policy that acted
    kl = torch.expm1(log_ratio.detach()) - log_ratio.detach()
    loss = masked_sum(surrogate.losses, keep) / token_count(keep, num_tokens)
    return PpoLoss(loss, masked_mean(is_clipped, keep), masked_mean(kl, keep))


def ppo_value_loss(
    values: Float[Tensor, "batch seq"],
    old_values: Float[Tensor, "batch seq"],
    returns: Float[Tensor, "batch seq"],
    mask: Shaped[Tensor, "batch seq"],
    *,
    clip: float | None = 0.2,
    num_tokens: int | float | Tensor | None = None,
) -> PpoLoss:
    """L = mean_t max((V - R)^2, (V_old + clip(V - V_old, -c, c) - R)^2) / 2.

    Args:
        values: V, with gradient.
        old_values: V when the batch was sampled.
        returns: from `generalized_advantages`.
        mask: true on real steps.
        clip: c > 0; None for the plain squared error.
        num_tokens: divisor; None counts the mask.

    Raises:
        AlignError: shapes differ or a number is out of its range.
    """
    check_same_shape(values=values, old_values=old_values, returns=returns, mask=mask)
    values, old_values, returns = widen(values), widen(old_values).detach(), widen(returns).detach()
    errors = (values - returns) ** 2
    is_clipped = torch.zeros_like(errors)
    if clip is not None:
        check_positive(clip=clip)
        clipped_errors = (old_values + (values - old_values).clamp(-clip, clip) - returns) ** 2
        is_clipped = (clipped_errors > errors).to(errors.dtype)
        errors = torch.maximum(errors, clipped_errors)
    loss = 0.5 * masked_sum(errors, mask) / token_count(mask, num_tokens)
    return PpoLoss(loss, masked_mean(is_clipped, mask), values.new_zeros(()))


def whiten(
    values: Float[Tensor, "batch seq"], mask: Shaped[Tensor, "batch seq"], *, epsilon: float = 1e-8
) -> Float[Tensor, "batch seq"]:
    """(x - mean) / sqrt(var + epsilon) over the true entries of the mask (variance with divisor n); 0 elsewhere."""
    check_same_shape(values=values, mask=mask)
    check_not_negative(epsilon=epsilon)
    centred = (widen(values) - masked_mean(values, mask)).masked_fill(mask == 0, 0.0)
    return centred * (masked_mean(centred.square(), mask) + epsilon).rsqrt()


def penalised_rewards(
    scores: Float[Tensor, " batch"],
    log_probs: Float[Tensor, "batch seq"],
    reference_log_probs: Float[Tensor, "batch seq"],
    mask: Shaped[Tensor, "batch seq"],
    *,
    beta: float,
) -> Float[Tensor, "batch seq"]:
    """r_t = -beta (log pi - log pi_ref)_t, plus the completion's score on its last token.

    Args:
        scores: one a completion, from a verifier or a reward model.
        log_probs: under the policy that sampled.
        reference_log_probs: under the frozen reference.
        mask: true on the completion's tokens; an empty row gets no reward at all.
        beta: >= 0, price of a nat of KL.

    Raises:
        AlignError: shapes differ or beta is below 0.
    Source: Ouyang et al. 2022, eq. 2 (arXiv 2203.02155).
    """
    check_same_shape(log_probs=log_probs, reference_log_probs=reference_log_probs, mask=mask)
    check_one_a_row("scores", scores, log_probs.shape[0])
    check_not_negative(beta=beta)
    keep = mask != 0
    penalty = (beta * (widen(log_probs) - widen(reference_log_probs))).masked_fill(~keep, 0.0).detach()
    is_last = keep & (keep.flip(-1).long().cumsum(-1).flip(-1) == 1)
    return is_last * widen(scores).detach().unsqueeze(-1) - penalty
