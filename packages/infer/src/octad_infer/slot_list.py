"""Vectors of the past under one name, row by row, each with its position: what an indexer or a compressor keeps."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from octad_infer.errors import InferError
from octad_infer.slots import EMPTY, Slots, Step


def grown(buffer: Tensor, capacity: int, slot_axis: int) -> Tensor:
    """The buffer with at least so many slots; new ones are zeros, since a masked slot weighs 0 and 0 * NaN is NaN."""
    missing = capacity - buffer.shape[slot_axis]
    return buffer if missing <= 0 else F.pad(buffer, (0, 0) * (buffer.ndim - 1 - slot_axis) + (0, missing))


@dataclass
class SlotList:
    """One list of a layer: its values, (batch, slots, ...), and which slot holds which position."""

    slots: Slots
    values: Tensor

    @classmethod
    def empty(cls, batch: int, capacity: int, like: Float[Tensor, "batch seq ..."]) -> "SlotList":
        """No entries yet, of the shape, type and device of those to come."""
        return cls(Slots(batch, capacity, None), like.new_zeros(batch, capacity, *like.shape[2:]))

    def append(
        self, values: Float[Tensor, "batch seq ..."], positions: Int[Tensor, "batch seq"]
    ) -> tuple[Float[Tensor, "batch slots ..."], Int[Tensor, "batch slots"]]:
        """Add the entries whose position is not -1; all entries, and their positions (-1: an empty slot).

        Raises:
            InferError: other widths or another type than before, or positions that do not rise within a row.
        """
        if values.shape[2:] != self.values.shape[2:] or values.dtype != self.values.dtype:
            raise InferError(
                f"entries of shape {tuple(values.shape[2:])} in {values.dtype} for a list of "
                f"{tuple(self.values.shape[2:])} in {self.values.dtype}; keep them the same"
            )
        if positions.shape[1]:
            self._write(values, self.slots.place(positions))
        used = self.slots.used
        table = self.slots.table[:, :used].to(values.device)
        return self.values[:, :used], table.masked_fill(table == EMPTY, -1)

    def _write(self, values: Tensor, step: Step) -> None:
        self.values = grown(self.values, self.slots.capacity, 1)
        self.values[step.rows, step.slots] = values[step.rows, step.columns]

    def pick(self, rows: Int[Tensor, "picked"]) -> "SlotList":
        """The given rows, copied."""
        return SlotList(self.slots.pick(rows.to(self.slots.table.device)), self.values[rows.to(self.values.device)])

    def join(self, other: "SlotList") -> None:
        """Add another list's rows below these."""
        self.slots.append(other.slots)
        self.values = joined(self.values, other.values, self.slots.capacity, 1)

    def forget_after(self, last: Int[Tensor, "batch"]) -> None:
        """Keep of row b the entries at positions up to last[b]."""
        self.slots.truncate((self.slots.table <= last.to(self.slots.table.device)[:, None]).sum(1))


def joined(above: Tensor, below: Tensor, capacity: int, slot_axis: int) -> Tensor:
    """The rows of two buffers, with room for `capacity` slots each."""
    return torch.cat([grown(above, capacity, slot_axis), grown(below, capacity, slot_axis)])
