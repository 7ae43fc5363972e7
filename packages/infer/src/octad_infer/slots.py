"""Which token lies in which slot: the ragged bookkeeping of a cache, without keys or values.

Row b of a cache holds `lengths[b]` tokens in slots 0 .. lengths[b] - 1, and `table[b, slot]` is the position of the
token there. An empty slot holds a position later than any query's, so one comparison is both the causal mask and the
mask of what is not there.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from octad_infer.errors import InferError

EMPTY = 2**62  # exact in float64 too, which padding goes through


@dataclass(frozen=True)
class Step:
    """Where one forward pass writes and what it may read; the same for all layers.

    Attributes:
        positions: (batch, seq), -1 at padding.
        rows, columns, slots: (tokens,) each: the token at (row, column) of the input goes to that slot of that row.
        past: slots in use before this step.
        used: slots in use after it, the longest row's length.
        is_full: no token is padding.
        is_level: after this step all rows have the same length.
        is_fresh: the cache was empty and every row holds positions 0, 1, 2, ... followed only by padding.
        table: (batch, used) positions of the stored tokens.
    """

    positions: Int[Tensor, "batch seq"]
    rows: Int[Tensor, "tokens"]
    columns: Int[Tensor, "tokens"]
    slots: Int[Tensor, "tokens"]
    past: int
    used: int
    is_full: bool
    is_level: bool
    is_fresh: bool
    table: Int[Tensor, "batch used"]

    def mask(self, window: int | None = None) -> Bool[Tensor, "batch 1 seq used"] | None:
        """True where slot s is visible to query i: 0 <= positions[i] - table[s] (< window); None if all are.

        Padding queries see everything: their output is ignored, and a softmax over nothing would be NaN.
        """
        if window is None and self.is_full and self.is_level and self.positions.shape[1] == 1:
            return None
        query_BT1, key_B1S = self.positions[:, :, None], self.table[:, None]
        visible_BTS = key_B1S <= query_BT1
        if window is not None:
            visible_BTS &= key_B1S > query_BT1 - window
        if not self.is_full:
            visible_BTS |= query_BT1 < 0
        return visible_BTS[:, None]


class Slots:
    """Lengths and positions of the rows of a cache."""

    def __init__(self, batch: int, capacity: int, max_len: int | None) -> None:
        self.max_len = max_len
        self.lengths = torch.zeros(batch, dtype=torch.int64)
        self.table = torch.full((batch, capacity), EMPTY)
        self.last = torch.full((batch,), -1)
        self.used = 0

    @property
    def capacity(self) -> int:
        """Slots a row has now."""
        return self.table.shape[1]

    def place(self, positions: Int[Tensor, "batch seq"]) -> Step:
        """Give every token that is not padding the next slot of its row.

        Raises:
            InferError: the shape is not (batch, seq), positions do not rise within a row, or max_len is passed.
        Cost: a dozen operations on (batch, seq) integers and one read by the host.
        """
        if positions.ndim != 2 or positions.shape[0] != len(self.lengths):
            raise InferError(
                f"positions of shape {tuple(positions.shape)} for {len(self.lengths)} rows; give (batch, seq)"
            )
        self._move_to(positions.device)
        positions = positions.long()
        is_token = positions >= 0
        rank = is_token.cumsum(1)
        lengths = self.lengths + rank[:, -1] if positions.shape[1] else self.lengths
        slots = self.lengths[:, None] + rank - 1
        newest = torch.cat([self.last[:, None], positions], 1).cummax(1).values
        rises = ((positions > newest[:, :-1]) | (positions == -1)).all()
        from_zero = (torch.where(is_token, positions == slots, positions == -1)).all() & (self.lengths == 0).all()
        right_padded = (is_token[:, 1:] <= is_token[:, :-1]).all()
        flags = torch.stack([rises, from_zero & right_padded, is_token.all(), lengths.max(), lengths.min()]).tolist()
        self._check(bool(flags[0]), flags[3], positions)
        self._reserve(flags[3])
        rows, columns = is_token.nonzero(as_tuple=True)
        slots = slots[rows, columns]
        self.table[rows, slots] = positions[rows, columns]
        past, self.used = self.used, flags[3]
        self.lengths, self.last = lengths, newest[:, -1]
        return Step(
            positions=positions,
            rows=rows,
            columns=columns,
            slots=slots,
            past=past,
            used=self.used,
            is_full=bool(flags[2]),
            is_level=flags[3] == flags[4],
            is_fresh=bool(flags[1]),
            table=self.table[:, : self.used],
        )

    def pick(self, rows: Int[Tensor, "picked"]) -> "Slots":
        """The bookkeeping of the given rows, copied."""
        picked = Slots(0, 0, self.max_len)
        picked.lengths, picked.table, picked.last = self.lengths[rows], self.table[rows], self.last[rows]
        picked.used = int(picked.lengths.max()) if len(rows) else 0
        return picked

    def append(self, other: "Slots") -> None:
        """Add the rows of another cache below these."""
        capacity = max(self.capacity, other.capacity)
        self._move_to(other.table.device)
        self.table = torch.cat([_widen(self.table, capacity), _widen(other.table, capacity)])
        self.lengths = torch.cat([self.lengths, other.lengths])
        self.last = torch.cat([self.last, other.last])
        self.used = max(self.used, other.used)

    def truncate(self, lengths: Int[Tensor, "batch"]) -> None:
        """Forget every token from slot lengths[b] on."""
        slot = torch.arange(self.capacity, device=self.table.device)
        self.table = self.table.masked_fill(slot >= lengths[:, None], EMPTY)
        self.lengths = lengths
        self.last = self.table.masked_fill(self.table == EMPTY, -1).amax(1) if self.capacity else self.last
        self.used = int(lengths.max()) if len(lengths) else 0

    def _check(self, rises: bool, used: int, positions: Tensor) -> None:
        if not rises:
            raise InferError(
                f"positions {positions.tolist()} must rise within a row and pass the last stored ones "
                f"{self.last.tolist()}; mark padding by -1, or truncate the cache first"
            )
        if self.max_len is not None and used > self.max_len:
            raise InferError(
                f"a row of {used} tokens passes max_len={self.max_len}; raise max_len or shorten the prompt"
            )

    def _reserve(self, used: int) -> None:
        if used > self.capacity:
            capacity = max(used, 2 * self.capacity)
            self.table = _widen(self.table, capacity if self.max_len is None else min(capacity, self.max_len))

    def _move_to(self, device: torch.device) -> None:
        if self.table.device != device:
            self.table, self.lengths, self.last = self.table.to(device), self.lengths.to(device), self.last.to(device)


def _widen(table: Int[Tensor, "batch old"], capacity: int) -> Int[Tensor, "batch new"]:
    return torch.nn.functional.pad(table, (0, capacity - table.shape[1]), value=EMPTY)
