"""What an encoder hands to a decoder."""

from collections.abc import Callable
from dataclasses import dataclass, field

from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Memory:
    """The states that cross-attention reads, and what each layer has made of them.

    A layer projects the states to keys and values once and finds them here at every later step of the same output.

    Args:
        states: of the encoder.
        keep: False marks padding; None keeps all.
    """

    states: Float[Tensor, "batch length d_model"]
    keep: Bool[Tensor, "batch length"] | None = None
    _projected: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict, repr=False)

    def project(
        self, layer: int, projection: Callable[[Tensor], tuple[Tensor, Tensor]]
    ) -> tuple[Float[Tensor, "batch kv_heads length d_head"], Float[Tensor, "batch kv_heads length d_value"]]:
        """The keys and values of a layer, computed where they are not yet known."""
        if layer not in self._projected:
            self._projected[layer] = projection(self.states)
        return self._projected[layer]

    def select(self, rows: Int[Tensor, "kept"]) -> "Memory":
        """These rows in this order; a row may come more than once (beams)."""
        projected = {layer: (keys[rows], values[rows]) for layer, (keys, values) in self._projected.items()}
        return Memory(self.states[rows], None if self.keep is None else self.keep[rows], projected)
