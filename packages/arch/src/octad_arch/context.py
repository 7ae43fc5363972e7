"""What a layer may look at besides its input: one object a forward pass, shared by all layers."""

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor

from .cache import AttentionCache
from .rope import RoPE, Rotation

RotationKey = tuple[RoPE, int]
"""A rotary embedding and the size of the heads it turns."""


@dataclass(frozen=True)
class Context:
    """The forward pass around a layer.

    Args:
        positions: absolute index of each token, of shape (batch, seq), or (1, seq) where all rows agree.
        rotations: cosines and sines for every distinct rotary embedding of the model, (rows, 1, seq, d_head/2).
        cache: keeper of the past, or None to attend within the input alone.
    """

    positions: Int[Tensor, "rows seq"]
    rotations: Mapping[RotationKey, Rotation]
    cache: AttentionCache | None = None
