"""The seam between a model and whatever keeps its past: the cache owns attention over it."""

from typing import Protocol

from jaxtyping import Float, Int
from torch import Tensor


class AttentionCache(Protocol):
    """Keeps the keys and values of the past and attends over them.

    A model with a cache never looks at the past itself, so a paged cache, a quantised cache or a fused kernel plugs in
    without a change to the model.
    """

    def attend(
        self,
        layer: int,
        q: Float[Tensor, "batch heads seq d_head"],
        k: Float[Tensor, "batch kv_heads seq d_head"],
        v: Float[Tensor, "batch kv_heads seq d_head"],
        positions: Int[Tensor, "batch seq"],
    ) -> Float[Tensor, "batch heads seq d_head"]:
        """Store k and v, then mix the values of every position up to each query's own, softmax(q kᵀ / sqrt(d_head)) v.

        Args:
            layer: index of the layer in the model, from 0; the past of each is its own.
            q: queries, already normalised and rotated.
            k: keys, likewise; query head h reads key head h * kv_heads // heads.
            v: values.
            positions: absolute token index, >= 0. A slot with -1 is padding: nothing of it is stored, and what is
                returned for it is ignored, but must be finite.
        """
        ...
