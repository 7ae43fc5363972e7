"""What a layer may look at besides its input: one object a forward pass, shared by all layers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .cache import AttentionCache
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


@dataclass(frozen=True)
class Context:
    """The forward pass around a layer.

    Args:
        positions: absolute index of each token, of shape (batch, seq), or (1, seq) where all rows agree.
        rotations: cosines and sines for every distinct rotary embedding of the model, (rows, 1, seq, pairs).
        cache: keeper of the past, or None to attend within the input alone.
    """

    positions: Int[Tensor, "rows seq"]
    rotations: Mapping[RotationKey, Rotation]
    cache: AttentionCache | None = None
