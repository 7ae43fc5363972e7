"""Log-probabilities of given tokens: perplexity, reference log-probabilities, ranking by likelihood."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from octad_infer.errors import InferError
from octad_infer.forward import check_tokens, device_of, evaluating, modules_of, right_padded
from octad_infer.protocol import Model


def score(
    model: Model,
    sequences: Sequence[Sequence[int]],
    *,
    batch_size: int = 16,
    device: torch.device | str | None = None,
) -> list[Float[Tensor, "tokens_minus_1"]]:
    """Return log p(x[t] | x[:t]) in nats for t = 1, 2, ..., one tensor a sequence, one shorter than it.

    Args:
        model: called as `model(tokens)` on right-padded batches of like lengths; no cache.
        sequences: token ids, none empty.
        batch_size: sequences a pass, >= 1.
        device: where token ids go; None means the model's.

    Returns:
        float32 tensors (float64 if the logits are) on that device, without gradient.

    Raises:
        InferError: a sequence is empty, or batch_size < 1.
    Cost: one forward pass; logits of (batch_size, longest, vocab) at a time.
    """
    if batch_size < 1:
        raise InferError(f"batch_size={batch_size}; use batch_size >= 1")
    checked, device = check_tokens(sequences, "sequence"), device_of(model, device)
    by_length = sorted(range(len(checked)), key=lambda index: -len(checked[index]))
    scores: list[Tensor] = [torch.empty(0)] * len(checked)
    with evaluating(modules_of(model)):
        for start in range(0, len(checked), batch_size):
            indices = by_length[start : start + batch_size]
            rows = _score_batch(model, right_padded([checked[index] for index in indices], 0, device))
            for index, row in zip(indices, rows, strict=True):
                scores[index] = row[: len(checked[index]) - 1].clone()
    return scores


def _score_batch(model: Model, tokens: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch seq_minus_1"]:
    logits = model(tokens)[:, :-1]
    logits = logits if logits.dtype == torch.float64 else logits.float()
    return logits.gather(2, tokens[:, 1:, None])[..., 0] - logits.logsumexp(2)
