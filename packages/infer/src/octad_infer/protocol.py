"""What a model and a cache promise each other.

The cache owns attention over the past: a layer hands over its rotated queries, keys and values and gets the mixed
values back. So a paged or a quantised cache is one more class, and no model changes.
"""

from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor


class AttentionCache(Protocol):
    """Stores keys and values and attends over them.

    This much every model needs. A layer may pass more keywords to `attend` (windows, sinks, caps, biases, latents),
    and one that keeps something else than keys and values calls `append` (lists) or `state` and `set_state`; `KVCache`
    has them all, and a cache that lacks one is refused by the layer that asks for it.
    """

    def attend(
        self,
        layer: int,
        q: Float[Tensor, "batch heads seq d_head"],
        k: Float[Tensor, "batch kv_heads seq d_head"],
        v: Float[Tensor, "batch kv_heads seq d_value"],
        positions: Int[Tensor, "batch seq"],
    ) -> Float[Tensor, "batch heads seq d_value"]:
        """Store k, v of this layer, then mix every stored value whose position is at most the query's.

        Args:
            layer: which attention layer asks; each asks once in a forward pass.
            q: queries, already rotated.
            k: keys, already rotated; kv_heads divides heads.
            v: values.
            positions: absolute token indices; -1 marks padding, which is neither stored nor attended.
        """
        ...


class Model(Protocol):
    """A decoder: `model(tokens)` alone is causal; with a cache its attention layers call `cache.attend`."""

    def __call__(
        self,
        tokens: Int[Tensor, "batch seq"],
        *,
        positions: Int[Tensor, "batch seq"] | None = None,
        cache: AttentionCache | None = None,
    ) -> Float[Tensor, "batch seq vocab"]:
        """Logits of the token after each one given.

        Args:
            tokens: token ids; a padding slot holds any valid id.
            positions: absolute indices, -1 at padding (its logits are ignored); None means 0, 1, 2, ...
            cache: the past; None means that there is none.
        """
        ...


@runtime_checkable
class SplitModel(Protocol):
    """A model that offers its last hidden states apart from its logits.

    Optional. Prefill then multiplies only each prompt's last state by the output matrix, which saves
    (seq - 1) / seq of the largest matrix product and of its memory.
    """

    def hidden(
        self,
        tokens: Int[Tensor, "batch seq"],
        *,
        positions: Int[Tensor, "batch seq"] | None = None,
        cache: AttentionCache | None = None,
    ) -> Float[Tensor, "batch seq d_model"]:
        """The states that `logits_at` turns into logits, final norm included."""
        ...

    def logits_at(self, hidden: Float[Tensor, "... d_model"]) -> Float[Tensor, "... vocab"]:
        """Logits of given states: `model(tokens) == model.logits_at(model.hidden(tokens))`."""
        ...
