"""Advantages from groups: several completions of one prompt are each other's baseline."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from octad_align.checks import check_choice, check_not_negative
from octad_align.errors import AlignError
from octad_align.log_probs import widen

SCALES = ("std", "none", "batch")
BASELINES = ("mean", "leave_one_out")


@dataclass(frozen=True)
class GroupAdvantages:
    """Advantages of a batch of groups, and what the rewards looked like.

    Attributes:
        advantages: same shape as the rewards, without gradient.
        means: mean reward of each group.
        stds: standard deviation of each group (divisor group - 1; 0 for one completion).
        is_constant: groups whose rewards are all equal: they teach nothing.
    """

    advantages: Float[Tensor, "prompts group"]
    means: Float[Tensor, " prompts"]
    stds: Float[Tensor, " prompts"]
    is_constant: Bool[Tensor, " prompts"]

    @property
    def num_constant_groups(self) -> int:
        """Number of groups without variance."""
        return int(self.is_constant.sum())


def group_advantages(
    rewards: Float[Tensor, "prompts group"],
    *,
    scale: str = "std",
    baseline: str = "mean",
    epsilon: float = 1e-4,
) -> GroupAdvantages:
    """A = (r - mean_group(r)) / (std + epsilon).

    Args:
        rewards: one row a prompt. NaN marks a completion that could not be scored: it leaves the mean and the
            deviation alone and gets advantage 0.
        scale: std of the own group (`std`), of the whole batch (`batch`), or no division (`none`, Dr. GRPO).
        baseline: the group's `mean`, or the mean of the others (`leave_one_out`, RLOO), which is unbiased and equals
            the first times group / (group - 1).
        epsilon: added to the deviation, as the published code does.

    Returns:
        Advantages; exactly 0 for a group without variance, however the mean was rounded.

    Raises:
        AlignError: rewards is not a matrix with at least one column, or a choice is unknown.
    Source: Shao et al. 2024 (arXiv 2402.03300); Liu et al. 2025 (arXiv 2503.20783); Ahmadian et al. 2024 (2402.14740).
    """
    if rewards.ndim != 2 or rewards.shape[1] == 0:
        raise AlignError(f"rewards has shape {tuple(rewards.shape)}; use (prompts, group) with a group of at least 1")
    check_choice("scale", scale, SCALES)
    check_choice("baseline", baseline, BASELINES)
    check_not_negative(epsilon=epsilon)
    rewards = widen(rewards.detach())
    is_scored = ~rewards.isnan()
    counts = is_scored.sum(1)
    known = rewards.masked_fill(~is_scored, 0.0)
    means = known.sum(1) / counts.clamp(min=1)
    is_constant = _is_constant(rewards, is_scored)
    centred = (rewards - means.unsqueeze(1)).masked_fill(~is_scored | is_constant.unsqueeze(1), 0.0)
    stds = (centred.square().sum(1) / (counts - 1).clamp(min=1)).sqrt()
    advantages = centred
    if baseline == "leave_one_out":
        advantages = centred.mul(counts.unsqueeze(1)) / (counts - 1).clamp(min=1).unsqueeze(1)
    if scale == "std":
        advantages = advantages / (stds.unsqueeze(1) + epsilon)
    elif scale == "batch":
        advantages = advantages / (_batch_std(known, is_scored) + epsilon)
    # with epsilon = 0 a constant group divides 0 by 0
    advantages = advantages.masked_fill(is_constant.unsqueeze(1), 0.0)
    return GroupAdvantages(advantages, means, stds, is_constant)


def _is_constant(rewards: Tensor, is_scored: Tensor) -> Tensor:
    highest = rewards.masked_fill(~is_scored, -torch.inf).amax(1)
    lowest = rewards.masked_fill(~is_scored, torch.inf).amin(1)
    return highest <= lowest


def _batch_std(known: Tensor, is_scored: Tensor) -> Tensor:
    count = is_scored.sum()
    mean = known.sum() / count.clamp(min=1)
    squares = (known - mean).square().masked_fill(~is_scored, 0.0).sum()
    return (squares / (count - 1).clamp(min=1)).sqrt()
