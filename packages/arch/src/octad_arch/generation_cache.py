"""`DynamicCache` as the `past_key_values` of Hugging Face's `generate`."""

import torch
from jaxtyping import Int
from torch import Tensor

from .errors import require
from .past import DynamicCache


class GenerationCache(DynamicCache):
    """A `DynamicCache` that counts its slots, follows beams and takes back rejected candidates.

    Where rows are padded, the cache itself remembers which slots hold nothing: it keeps every slot's position.
    """

    is_compileable = False

    def __init__(self) -> None:
        super().__init__()
        self._positions: Tensor | None = None

    def positions(self, tokens: Int[Tensor, "batch seq"]) -> Int[Tensor, "batch slots"]:
        """The position of every slot so far, -1 at padding; none before the first of these tokens."""
        return tokens[:, :0] if self._positions is None else self._positions

    def advance(self, positions: Int[Tensor, "batch seq"]) -> None:
        """Note the slots that the layers have just filled."""
        self._positions = positions if self._positions is None else torch.cat((self._positions, positions), 1)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Slots so far, padding included; the same in every layer."""
        return 0 if self._positions is None else self._positions.shape[1]

    def select(self, rows: Int[Tensor, "kept"]) -> None:
        """Keep these rows in this order; a row may come more than once (beams)."""
        super().select(rows)
        if self._positions is not None:
            self._positions = self._positions[rows]

    def reorder_cache(self, beam_idx: Int[Tensor, "beams"]) -> None:
        """Follow the beams that live on."""
        self.select(beam_idx)

    def batch_select_indices(self, indices: Int[Tensor, "kept"]) -> None:
        """Keep these rows."""
        self.select(indices)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Every row so many times."""
        if self._positions is not None:
            rows = torch.arange(len(self._positions), device=self._positions.device)
            self.select(rows.repeat_interleave(repeats))

    def activate_past_recording(self) -> None:
        """Nothing to switch on: every slot is kept, so that `crop` can always go back."""

    def crop(self, tokens_to_remove: int) -> None:
        """Forget the last -tokens_to_remove slots, as assisted generation does with rejected candidates.

        Raises:
            ArchError: a number above 0, which in older versions was the length to keep; layers with a state, which
                cannot go back.
        """
        require(not (tokens_to_remove and self._states), "layers with a state cannot forget tokens; do without drafts")
        require(tokens_to_remove <= 0, f"crop({tokens_to_remove}): give minus the number of slots to forget")
        if tokens_to_remove and self._positions is not None:
            last = slice(None, tokens_to_remove)
            self._lists = {key: (values[:, last], slots[:, last]) for key, (values, slots) in self._lists.items()}
            self._positions = self._positions[:, last]
