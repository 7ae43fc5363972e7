"""Log-probabilities of given tokens, and sums and means of them under a mask.

A mask marks the tokens that count: bool, or 0 / 1 of any dtype. What stands at a masked position never reaches a
result or a gradient, not even when it is infinite or not a number.
"""

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from octad_align.checks import check_positive
from octad_align.errors import AlignError

IGNORE_INDEX = -100


def widen(tensor: Tensor) -> Tensor:
    """Return float16 and bfloat16 as float32, and everything else as it is.

    Sums of log-probabilities over a completion reach hundreds; bfloat16 resolves steps of 1 there.
    """
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def selective_log_softmax(
    logits: Float[Tensor, "*batch vocab"], targets: Int[Tensor, "*batch"], *, temperature: float = 1.0
) -> Float[Tensor, "*batch"]:
    """Give log p(target) = logit[target] / T - logsumexp(logits / T), without storing the whole log-softmax.

    Args:
        logits: unnormalised scores; float16 and bfloat16 are widened to float32.
        targets: token ids in [0, vocab); IGNORE_INDEX (-100) gives 0 and no gradient.
        temperature: T > 0, the one that the tokens were sampled with.

    Returns:
        Log-probabilities, float32 (float64 for float64 logits).

    Raises:
        AlignError: the shapes disagree, or a target is out of range (looked at on the CPU only: the check would
            stall an accelerator, which reports it by itself).
    Cost: one pass over the logits; memory of one widened copy when they are 16-bit.
    """
    check_positive(temperature=temperature)
    if logits.ndim == 0 or targets.shape != logits.shape[:-1]:
        raise AlignError(
            f"targets has shape {tuple(targets.shape)} and logits {tuple(logits.shape)}; "
            "targets must have the shape of logits without its last axis"
        )
    is_ignored = targets == IGNORE_INDEX
    safe_targets = targets.masked_fill(is_ignored, 0).long()
    _check_range(safe_targets, logits.shape[-1])
    scores = widen(logits)
    if temperature != 1.0:
        scores = scores / temperature
    chosen = scores.gather(-1, safe_targets.unsqueeze(-1)).squeeze(-1)
    return (chosen - scores.logsumexp(-1)).masked_fill(is_ignored, 0.0)


def _check_range(targets: Tensor, vocab_size: int) -> None:
    if targets.device.type != "cpu" or targets.numel() == 0:
        return
    low, high = int(targets.min()), int(targets.max())
    if low < 0 or high >= vocab_size:
        wrong = low if low < 0 else high
        raise AlignError(
            f"target {wrong} is outside [0, {vocab_size}), the vocabulary; mark what to skip by {IGNORE_INDEX}"
        )


def entropy(logits: Float[Tensor, "*batch vocab"]) -> Float[Tensor, "*batch"]:
    """H = -sum_v p_v log p_v in nats, with 0 log 0 = 0 (a logit of -inf is a forbidden token).

    Returns:
        float32 (float64 for float64 logits), between 0 and log(vocab).
    Cost: one log-softmax of the logits.
    """
    log_p = widen(logits).log_softmax(-1)
    return -(log_p.exp() * log_p.masked_fill(log_p == -torch.inf, 0.0)).sum(-1)


def masked_sum(values: Float[Tensor, "..."], mask: Shaped[Tensor, "..."], dim: int | None = None) -> Tensor:
    """Sum of `values` where `mask` is true, over one axis or over all.

    Raises:
        AlignError: mask does not have the shape of values, or broadcast to it.
    """
    try:
        keep = (mask != 0).expand_as(values)
    except RuntimeError as error:
        raise AlignError(
            f"mask has shape {tuple(mask.shape)} and values {tuple(values.shape)}; they must be equal or broadcast"
        ) from error
    kept = widen(values).masked_fill(~keep, 0.0)
    return kept.sum() if dim is None else kept.sum(dim)


def masked_mean(values: Float[Tensor, "..."], mask: Shaped[Tensor, "..."], dim: int | None = None) -> Tensor:
    """Mean of `values` where `mask` is true, over one axis or over all; 0 where nothing is.

    Raises:
        AlignError: mask does not have the shape of values, or broadcast to it.
    """
    total = masked_sum(values, mask, dim)
    keep = (mask != 0).expand_as(values)
    count = keep.sum() if dim is None else keep.sum(dim)
    return total / count.clamp(min=1)


def sequence_log_probs(
    log_probs: Float[Tensor, "*batch seq"], mask: Shaped[Tensor, "*batch seq"], *, average: bool = False
) -> Float[Tensor, "*batch"]:
    """Give log p(completion | prompt) = sum_t mask_t log p_t; with `average`, divided by the number of tokens.

    Args:
        log_probs: one for each token, from `selective_log_softmax`.
        mask: true on the completion's tokens.
        average: the length-normalised form (ORPO, SimPO).

    Raises:
        AlignError: mask does not have the shape of log_probs, or broadcast to it.
    """
    return masked_mean(log_probs, mask, -1) if average else masked_sum(log_probs, mask, -1)
