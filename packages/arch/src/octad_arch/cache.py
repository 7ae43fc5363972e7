"""The seam between a model and whatever keeps its past: the cache owns attention over it."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor


class AttentionBias(Protocol):
    """What is added to the scaled scores before the softmax, from positions alone: ALiBi's slopes, T5's table."""

    def __call__(
        self, queries: Int[Tensor, "batch seq"], keys: Int[Tensor, "batch slots"]
    ) -> Float[Tensor, "batch heads seq slots"]:
        """The bias of each query position towards each key position; batch may be 1 where all rows agree."""
        ...


class AttentionCache(Protocol):
    """Keeps the keys and values of the past and attends over them.

    A model with a cache never looks at the past itself, so a paged cache, a quantised cache or a fused kernel plugs in
    without a change to the model. A layer passes only the keywords it needs, so a cache that knows none of them serves
    every model that needs none.
    """

    def attend(
        self,
        layer: int,
        q: Float[Tensor, "batch heads seq d_head"],
        k: Float[Tensor, "batch kv_heads seq d_head"],
        v: Float[Tensor, "batch kv_heads seq d_value"],
        positions: Int[Tensor, "batch seq"],
        *,
        scale: float | None = None,
        window: int | None = None,
        sinks: Float[Tensor, "heads"] | None = None,
        softcap: float | None = None,
        bias: AttentionBias | None = None,
        latent: int | None = None,
        is_stored: bool = False,
    ) -> Float[Tensor, "batch heads seq d_value"]:
        """Store k and v, then mix the values of every position up to each query's own: softmax(scale * q kᵀ + ...) v.

        Args:
            layer: index of the layer in the model, from 0; the past of each is its own.
            q: queries, already normalised and rotated.
            k: keys, likewise; query head h reads key head h * kv_heads // heads.
            v: values.
            positions: absolute token index, >= 0. A slot with -1 is padding: nothing of it is stored, and what is
                returned for it is ignored, but must be finite.
            scale: factor of the scores; None means 1 / sqrt(d_head).
            window: see only the last `window` positions, the query's own included; None means all.
            sinks: one more logit a head in the softmax, with no value.
            softcap: scores become softcap * tanh(scores / softcap).
            bias: added to the scores.
            latent: the values are the first `latent` channels of the keys, of which `v` is that view: keep no other.
            is_stored: k and v were given in this pass by a call for the same layer, for which another layer's queries
                ask now: keep nothing of them.
        """
        ...


@runtime_checkable
class ListCache(Protocol):
    """A cache that also keeps other vectors of each position than keys and values."""

    def append(
        self, layer: int, name: str, values: Float[Tensor, "batch seq ..."], positions: Int[Tensor, "batch seq"]
    ) -> tuple[Float[Tensor, "batch slots ..."], Int[Tensor, "batch slots"]]:
        """Add to what a layer keeps under a name besides keys and values; all of it, each slot with its position.

        Called by layers that choose what to attend to (`Indexer`) and by no others. Slots stay in the order of their
        coming; a position of -1 is padding, there or not.
        """
        ...


@runtime_checkable
class StateCache(Protocol):
    """A cache that also keeps what has a fixed size: states of linear attention, of state spaces, of convolutions."""

    def state(self, layer: int, name: str) -> Float[Tensor, "batch ..."] | None:
        """What the layer kept under that name; None before its first tokens."""
        ...

    def set_state(self, layer: int, name: str, state: Float[Tensor, "batch ..."]) -> None:
        """Keep it in place of what was there."""
        ...
