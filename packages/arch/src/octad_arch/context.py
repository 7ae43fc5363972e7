"""What a layer may look at besides its input: one object a forward pass, shared by all layers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .cache import AttentionBias, AttentionCache
from .errors import ArchError, require
from .memory import Memory
from .rope import Rotation


class Rotary(Protocol):
    """A rotary embedding: `RoPE` and its scaled kin. Hashable, so that equal ones are computed once."""

    def rotation(self, positions: Int[Tensor, "... seq"], d_head: int, dtype: torch.dtype) -> Rotation:
        """Cosines and sines for these positions."""
        ...

    def rotate(self, x: Float[Tensor, "... seq d_head"], rotation: Rotation) -> Float[Tensor, "... seq d_head"]:
        """Queries or keys, turned."""
        ...

    def check(self, d_head: int) -> None:
        """Raise `ArchError` where heads of this size cannot be rotated."""
        ...


RotationKey = tuple[Rotary, int]
"""A rotary embedding and the width of the heads that it turns."""


def rotations_of(
    keys: Iterable[RotationKey], positions: Int[Tensor, "rows seq"], dtype: torch.dtype
) -> dict[RotationKey, Rotation]:
    """Cosines and sines for each key, with an axis for the heads: (rows, 1, seq, pairs)."""
    return {key: key[0].rotation(positions[:, None], key[1], dtype) for key in keys}


@dataclass(frozen=True)
class Context:
    """The forward pass around a layer.

    Args:
        positions: absolute index of each token, of shape (batch, seq), or (1, seq) where all rows agree.
        rotations: cosines and sines for every distinct rotary embedding of the model, (rows, 1, seq, pairs).
        cache: keeper of the past, or None to attend within the input alone.
        keep: False marks padding that no token attends to, wherever it stands; for layers without a cache.
        bias: added to the scores of every self-attention, a bias that all layers share (T5).
        memory: what cross-attention reads.
        tokens: the ids, for what looks them up a second time (`ValueEmbedding`).
        embedded: what the first layer reads, for what adds it again (`Reinjected`).
        notes: what one layer leaves for later ones of the same pass (`KeepValue`), by name.
    """

    positions: Int[Tensor, "rows seq"]
    rotations: Mapping[RotationKey, Rotation]
    cache: AttentionCache | None = None
    keep: Bool[Tensor, "batch seq"] | None = None
    bias: AttentionBias | None = None
    memory: Memory | None = None
    tokens: Int[Tensor, "batch seq"] | None = None
    embedded: Float[Tensor, "batch seq ..."] | None = None
    notes: dict[str, Tensor] = field(default_factory=dict)


def context_of(
    tokens: Tensor,
    positions: Tensor | None,
    rotation_keys: Iterable[RotationKey],
    dtype: torch.dtype,
    **seen: Any,
) -> Context:
    """The context of a batch of tokens: positions checked and filled in, rotations computed once for all layers.

    Raises:
        ArchError: tokens or positions of another shape or type; a cache without positions.
    """
    if tokens.ndim != 2 or tokens.is_floating_point():
        raise ArchError(f"tokens has shape {tuple(tokens.shape)} and {tokens.dtype}; give integers (batch, seq)")
    if positions is None:
        require(seen.get("cache") is None, "a cache needs positions, which say where these tokens continue its past")
        positions = torch.arange(tokens.shape[1], device=tokens.device)
    if positions.ndim == 1:
        positions = positions[None]
    if positions.shape not in (tokens.shape, (1, tokens.shape[1])):
        given, wanted = tuple(positions.shape), tuple(tokens.shape)
        raise ArchError(f"positions has shape {given} but tokens {wanted}; give one position a token")
    keep = seen.get("keep")
    if keep is not None and (keep.shape != tokens.shape or keep.dtype != torch.bool):
        raise ArchError(f"keep has shape {tuple(keep.shape)} and {keep.dtype}; give booleans {tuple(tokens.shape)}")
    heads = positions[:, None]  # one axis more, to broadcast over (batch, heads, seq, d_head)
    return Context(
        positions, {key: key[0].rotation(heads, key[1], dtype) for key in rotation_keys}, tokens=tokens, **seen
    )
