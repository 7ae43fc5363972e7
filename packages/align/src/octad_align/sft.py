"""Supervised fine-tuning: the cross-entropy of the answers' tokens."""

from jaxtyping import Float, Shaped
from torch import Tensor

from octad_align.checks import check_choice, check_same_shape
from octad_align.errors import AlignError
from octad_align.log_probs import masked_mean, masked_sum

REDUCTIONS = ("token_mean", "sequence_mean", "sum")


def sft_loss(
    log_probs: Float[Tensor, "batch seq"],
    mask: Shaped[Tensor, "batch seq"],
    *,
    reduction: str = "token_mean",
    num_tokens: int | float | Tensor | None = None,
) -> Float[Tensor, ""]:
    """L = -sum_t mask_t log p_t / N.

    Args:
        log_probs: of the true next tokens.
        mask: true on the tokens to learn.
        reduction: `token_mean` (every token weighs the same), `sequence_mean` (every sequence does) or `sum`.
        num_tokens: N for `token_mean`; None takes the mask's own count. Pass the count of the whole optimiser step
            under gradient accumulation: micro-batches of unequal length then add up to the loss of the whole batch.
            Across ranks whose gradients are averaged, pass that count divided by the number of ranks.

    Returns:
        A scalar; 0 (with a zero gradient) where the mask is empty.

    Raises:
        AlignError: shapes differ, reduction is unknown, or num_tokens is not above 0 or has no use.
    """
    check_same_shape(log_probs=log_probs, mask=mask)
    check_choice("reduction", reduction, REDUCTIONS)
    if num_tokens is not None and reduction != "token_mean":
        raise AlignError(f"num_tokens={num_tokens} has no use with reduction={reduction!r}; use reduction='token_mean'")
    if reduction == "sequence_mean":
        per_sequence = masked_mean(log_probs, mask, -1)
        has_tokens = (mask != 0).any(-1)
        return -masked_mean(per_sequence, has_tokens)
    total = -masked_sum(log_probs, mask)
    return total if reduction == "sum" else total / token_count(mask, num_tokens)


def token_count(mask: Shaped[Tensor, "..."], num_tokens: int | float | Tensor | None) -> Tensor | float:
    """Return `num_tokens`, or the number of true entries in `mask` (at least 1) where it is None.

    Raises:
        AlignError: num_tokens is not above 0 (a tensor on an accelerator is trusted: reading it would stall).
    """
    if num_tokens is None:
        return (mask != 0).sum().clamp(min=1)
    is_readable = not isinstance(num_tokens, Tensor) or num_tokens.device.type == "cpu"
    if is_readable and not num_tokens > 0:
        raise AlignError(f"num_tokens={num_tokens} must be above 0; it is the number of tokens of the whole step")
    return num_tokens
