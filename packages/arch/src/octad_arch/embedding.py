"""The input of a transformer: embedded tokens, scaled, with their positions, normalised."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


def embed(
    model: Any,
    tokens: Int[Tensor, "batch seq"],
    positions: Int[Tensor, "rows seq"],
    segments: Int[Tensor, "batch seq"] | None = None,
) -> Float[Tensor, "batch seq d_model"]:
    """norm(scale * E[token] + P[position] + S[segment]), with the parts that the model has.

    Args:
        model: a module with `embedding`, `position`, `embedding_norm` and its `spec`.
        tokens: ids.
        positions: of each.
        segments: which part of a pair a token belongs to, for models with an embedding of it (BERT).
    """
    x: Tensor = model.embedding(tokens)
    if model.spec.embedding_scale != 1:
        x = x * torch.tensor(model.spec.embedding_scale, dtype=x.dtype)  # rounded first, as Gemma does
    if model.position is not None:
        x = x + model.position(positions)
    if segments is not None:
        x = x + model.segment(segments)
    norm: nn.Module = model.embedding_norm
    embedded: Tensor = norm(x)
    return embedded
