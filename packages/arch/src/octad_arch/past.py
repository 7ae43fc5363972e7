"""The simplest cache that knows every option: the reference of the seam in `cache.py`."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .cache import AttentionBias
from .errors import require
from .mixing import mix


class DynamicCache:
    """Every layer's past, concatenated as it comes; rows may be ragged, since a slot's position says whether it counts.

    For tests and for reading; `octad_infer.KVCache` serves: here each call copies what is kept so far.
    Gradients flow through it.
    """

    def __init__(self) -> None:
        self._lists: dict[tuple[int, str], tuple[Tensor, Tensor]] = {}
        self._states: dict[tuple[int, str], Tensor] = {}

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
        """As `AttentionCache.attend`."""
        if not is_stored:
            self.append(layer, "key", k.transpose(1, 2), positions)
            if latent is None:
                self.append(layer, "value", v.transpose(1, 2), positions)
        keys, slots = self._lists[layer, "key"]
        values = self._lists[layer, "value"][0] if latent is None else keys[..., :latent]
        return mix(
            q,
            keys.transpose(1, 2),
            values.transpose(1, 2),
            positions,
            slots,
            scale=scale,
            window=window,
            sinks=sinks,
            softcap=softcap,
            bias=bias,
        )

    def append(
        self, layer: int, name: str, values: Float[Tensor, "batch seq ..."], positions: Int[Tensor, "batch seq"]
    ) -> tuple[Float[Tensor, "batch slots ..."], Int[Tensor, "batch slots"]]:
        """As `ListCache.append`."""
        positions = positions.expand(len(values), -1)
        if (layer, name) in self._lists:
            kept, slots = self._lists[layer, name]
            require(len(kept) == len(values), f"{len(values)} rows, but the cache holds {len(kept)}; select them first")
            values, positions = torch.cat((kept, values), 1), torch.cat((slots, positions), 1)
        self._lists[layer, name] = values, positions
        return values, positions

    def state(self, layer: int, name: str) -> Float[Tensor, "batch ..."] | None:
        """As `StateCache.state`."""
        return self._states.get((layer, name))

    def set_state(self, layer: int, name: str, state: Float[Tensor, "batch ..."]) -> None:
        """As `StateCache.set_state`."""
        self._states[layer, name] = state

    def select(self, rows: Int[Tensor, "kept"]) -> None:
        """Keep these rows in this order; a row may come more than once (beams)."""
        self._lists = {key: (values[rows], slots[rows]) for key, (values, slots) in self._lists.items()}
        self._states = {key: state[rows] for key, state in self._states.items()}

    def rewind(self, length: int, first_layer: int = 0) -> None:
        """Forget the positions from `length` on in the layers from `first_layer` on: drafts that were not accepted.

        Raises:
            ArchError: one of those layers keeps a state, which cannot be taken back.
        """
        states = sorted({layer for layer, _ in self._states if layer >= first_layer})
        require(not states, f"layers {states} keep states, which cannot be taken back; they take no drafts")
        for (layer, name), (values, slots) in self._lists.items():
            if layer >= first_layer:
                slots = slots.masked_fill(slots >= length, -1)
                used = (slots >= 0).any(0)
                self._lists[layer, name] = values[:, used], slots[:, used]
