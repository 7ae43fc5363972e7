"""Padded and packed batches as what a decoder without a cache reads: every sequence a row, from its first slot on.

A decoder attends by order, so padding belongs behind a row. Left padding, holes and several sequences in one row become
that by moving tokens, which is exact for every mixer; attention masks would have to be known to each.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from .errors import require


@dataclass(frozen=True, eq=False)
class Rows:
    """Where each token of a batch stands once every sequence has a row of its own.

    Args:
        source: slot of the flattened batch that each place is filled from; places behind a sequence repeat its first.
        real: the slots of the flattened batch that hold tokens, in order.
        row: the row of each real slot.
        column: its place there.
    """

    source: Int[Tensor, "rows width"]
    real: Int[Tensor, "tokens"]
    row: Int[Tensor, "tokens"]
    column: Int[Tensor, "tokens"]

    def take(self, x: Shaped[Tensor, "batch seq"]) -> Shaped[Tensor, "rows width"]:
        """Tokens or positions, moved."""
        return x.flatten()[self.source]

    def put_back(self, y: Float[Tensor, "rows width d"], batch: int, seq: int) -> Float[Tensor, "batch seq d"]:
        """What was computed, where its token was; 0 where there was padding. Gradients flow through it."""
        flat = y.new_zeros(batch * seq, y.shape[-1])
        return flat.index_copy(0, self.real, y[self.row, self.column]).view(batch, seq, -1)


def rows_of(mask: Shaped[Tensor, "batch seq"] | None, positions: Int[Tensor, "batch seq"] | None) -> Rows | None:
    """The rows of a batch, or None where each row is one sequence already, with all its padding behind it.

    Args:
        mask: 0 or False at padding; None means that there is none.
        positions: absolute index of each token; where it does not rise from one token to the next, another sequence
            begins, which sees nothing of those before. None means that each row is one sequence.
    Cost: two reads of the mask on the device; the rows are as wide as the longest sequence, so one long among many
        short ones wastes memory, as padding would.
    """
    shaped = mask if mask is not None else positions
    if shaped is None:
        return None
    batch, seq = shaped.shape
    kept = torch.ones_like(shaped, dtype=torch.bool) if mask is None else mask.bool()
    real = kept.flatten().nonzero().squeeze(1)
    if not len(real):
        return None
    begins = torch.ones_like(real, dtype=torch.bool)
    begins[1:] = real[1:] // seq != real[:-1] // seq
    if positions is not None:
        position = positions.flatten()[real]
        begins[1:] |= position[1:] <= position[:-1]
    row = begins.cumsum(0) - 1
    first = begins.nonzero().squeeze(1)
    column = torch.arange(len(real), device=real.device) - first[row]
    if len(first) == batch and bool((real == row * seq + column).all()):
        return None
    source = real[first][:, None].repeat(1, int(column.max()) + 1)
    source[row, column] = real
    return Rows(source, real, row, column)


def cached_positions(
    tokens: Int[Tensor, "batch seq"],
    mask: Shaped[Tensor, "batch total"] | None,
    positions: Int[Tensor, "rows seq"] | None,
    past: Int[Tensor, "batch slots"],
) -> Int[Tensor, "batch seq"]:
    """The position of each token that goes on after `past`, -1 at padding: what a cache understands.

    Args:
        tokens: the new ones.
        mask: 0 at padding, over past and new slots; None means that no new slot is padding.
        positions: as the caller counts them; None counts the tokens that are no padding.
        past: positions of the slots in the cache, -1 at padding.

    Raises:
        ArchError: a mask of another length; positions that do not rise, as those of several sequences in one row.
    """
    batch, seq = tokens.shape
    slots = past.shape[1]
    kept = torch.ones_like(tokens, dtype=torch.bool)
    if mask is not None:
        total = (batch, slots + seq)
        require(
            tuple(mask.shape) == total,
            f"attention_mask has shape {tuple(mask.shape)}; {slots} slots in the cache and {seq} new ask for {total}",
        )
        kept = mask[:, slots:].bool()
    latest = past.amax(1, keepdim=True) if slots else past.new_full((batch, 1), -1)
    counted = latest + kept.cumsum(1) if positions is None else positions.expand(batch, seq)
    placed = counted.masked_fill(~kept, -1)
    if positions is not None:
        before = torch.cat((latest, placed), 1).cummax(1).values[:, :-1]
        require(
            bool((placed > before)[kept].all()),
            "position_ids do not rise along a row; with a cache each row is one sequence: run packed ones without",
        )
    return placed


def padding_mask(mask: Tensor | None, tokens: Tensor) -> Bool[Tensor, "batch total"] | None:
    """The mask as booleans.

    Raises:
        ArchError: it has another shape than (batch, seq).
    """
    if mask is None:
        return None
    require(
        mask.ndim == 2 and len(mask) == len(tokens) and mask.shape[1] >= tokens.shape[1],
        f"attention_mask has shape {tuple(mask.shape)}; give (batch, seq) with 0 at padding, tokens are "
        f"{tuple(tokens.shape)}",
    )
    return mask.bool()
