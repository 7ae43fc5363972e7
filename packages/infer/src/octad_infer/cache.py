"""What a model keeps of the past, for ragged rows: keys and values over which it attends, lists, and states.

Legend: B rows, K key-value heads, T new tokens, D head width.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from octad_infer.attention import check_shapes, grouped_attention, scored_attention
from octad_infer.errors import InferError
from octad_infer.slot_list import SlotList, grown, joined
from octad_infer.slots import EMPTY, Slots, Step

RowLike = Sequence[int] | Int[Tensor, "rows"]


class KVCache:
    """The past of every layer: keys and values, (batch, kv_heads, slots, d_head) each, grown by doubling.

    A layer of latent attention keeps its latents alone, one that chooses or compresses keeps lists (`append`), and one
    with a recurrence keeps states (`state`, `set_state`), of which every row has its own. Nothing is allocated before
    the first call, which shows the layers, heads, widths, dtype and device. Rows may hold different numbers of tokens.
    No gradient flows through a cache.

    Args:
        batch: rows, >= 1.
        max_len: most tokens a row may hold; None means no limit.
        capacity: slots to begin with.

    Raises:
        InferError: an argument is out of range.
    """

    def __init__(self, batch: int, max_len: int | None = None, *, capacity: int = 64) -> None:
        if batch < 1 or capacity < 1 or (max_len is not None and max_len < 1):
            raise InferError(f"batch={batch}, max_len={max_len}, capacity={capacity} must be at least 1")
        self._slots = Slots(batch, capacity if max_len is None else min(capacity, max_len), max_len)
        self._keys: dict[int, Tensor] = {}
        self._values: dict[int, Tensor] = {}
        self._lists: dict[tuple[int, str], SlotList] = {}
        self._states: dict[tuple[int, str], Tensor] = {}
        self._batch = batch
        self._step: Step | None = None
        self._attended: set[int] = set()

    @property
    def batch(self) -> int:
        """How many rows there are."""
        return self._batch

    @property
    def lengths(self) -> Int[Tensor, "batch"]:
        """Tokens stored in each row; 0 where the layers keep nothing but states."""
        lengths = self._slots.lengths
        for entries in self._lists.values():
            lengths = lengths.maximum(entries.slots.lengths.to(lengths.device))
        return lengths.clone()

    @property
    def capacity(self) -> int:
        """Slots a row has before the next doubling."""
        return self._slots.capacity

    @property
    def max_len(self) -> int | None:
        """Most tokens a row may hold."""
        return self._slots.max_len

    @property
    def size_bytes(self) -> int:
        """Memory held by keys, values, lists and states."""
        lists = (entries.values for entries in self._lists.values())
        return sum(x.nbytes for x in (*self._keys.values(), *self._values.values(), *lists, *self._states.values()))

    @torch.no_grad()
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
        bias: Callable[[Tensor, Tensor], Tensor] | None = None,
        latent: int | None = None,
        is_stored: bool = False,
    ) -> Float[Tensor, "batch heads seq d_value"]:
        """softmax(q k^T * scale + bias) v over this row's tokens at positions <= the query's, the new ones included.

        Args:
            layer: which layer asks; each asks once in a forward pass, and the first to ask opens the pass.
            q: rotated queries; query head h reads key-value head h // (heads // kv_heads).
            k: rotated keys.
            v: values.
            positions: absolute indices, rising within a row; -1 is padding: not stored, its output meaningless.
            scale: None means d_head ** -0.5.
            window: see only the last `window` positions, the query's own included; None means all.
            sinks: one more logit a head in the softmax, with no value (gpt-oss).
            softcap: scores become softcap * tanh(scores / softcap) (Gemma 2).
            bias: from (batch, seq) query and (batch, slots) key positions to what is added to the scores,
                (batch or 1, heads, seq, slots), such as ALiBi's.
            latent: the values are the first `latent` channels of the keys: no others are stored (latent attention).
            is_stored: this layer has stored k and v in this pass, and another layer's queries ask for them now.

        Raises:
            InferError: shapes disagree, positions do not rise, max_len is passed, or a layer skipped a pass.
        Cost: reads each stored key and value of the layer once and copies none (only growing does).
        """
        check_shapes(q, k, v, positions, latent)
        if window is not None and window < 1:
            raise InferError(f"window={window} hides every key; use window >= 1 or None")
        step = self._again(layer) if is_stored else self._enter(layer, positions)
        keys = self._keys[layer] if is_stored else self._store(self._keys, layer, k, step)
        if latent is not None:
            values = keys[..., :latent]
        else:
            values = self._values[layer] if is_stored else self._store(self._values, layer, v, step)
        if step.used == 0:
            return q.new_zeros(*q.shape[:3], v.shape[3])
        if sinks is not None or softcap is not None or bias is not None:
            stored = keys[:, :, : step.used], values[:, :, : step.used]
            added = None if bias is None else bias(positions, step.table.masked_fill(step.table == EMPTY, 0))
            return scored_attention(q, *stored, step.mask(window), scale, sinks, softcap, added)
        if step.is_fresh and window is None:
            # Right padding lies after every real query, so the plain causal mask is already exact.
            seq = q.shape[2]
            return F.scaled_dot_product_attention(
                q, keys[:, :, :seq], values[:, :, :seq], is_causal=True, scale=scale, enable_gqa=True
            )
        return grouped_attention(q, keys[:, :, : step.used], values[:, :, : step.used], step.mask(window), scale)

    @torch.no_grad()
    def append(
        self, layer: int, name: str, values: Float[Tensor, "batch seq ..."], positions: Int[Tensor, "batch seq"]
    ) -> tuple[Float[Tensor, "batch slots ..."], Int[Tensor, "batch slots"]]:
        """Add to what a layer keeps under a name besides keys and values; all of it, each slot with its position.

        Args:
            layer: whose list it is.
            name: of the list.
            values: one entry a slot; entries at position -1 are not stored.
            positions: rising within a row, over all calls.

        Returns:
            All entries of the list in the order of their coming, and their positions: -1 is an empty slot.

        Raises:
            InferError: other rows, widths or another type than before, or positions that do not rise.
        """
        if len(values) != self.batch or values.shape[:2] != positions.shape:
            raise InferError(
                f"entries {tuple(values.shape)} at positions {tuple(positions.shape)} for {self.batch} rows; "
                "give (batch, seq, ...) and (batch, seq)"
            )
        if (layer, name) not in self._lists:
            self._lists[layer, name] = SlotList.empty(self.batch, self.capacity, values)
        return self._lists[layer, name].append(values, positions)

    def state(self, layer: int, name: str) -> Float[Tensor, "batch ..."] | None:
        """What the layer kept under that name; None before its first tokens."""
        return self._states.get((layer, name))

    def set_state(self, layer: int, name: str, state: Float[Tensor, "batch ..."]) -> None:
        """Keep a state of every row in place of what was there.

        Raises:
            InferError: it does not have the cache's rows.
        """
        if len(state) != self.batch:
            raise InferError(f"a state of shape {tuple(state.shape)} for {self.batch} rows; give (batch, ...)")
        self._states[layer, name] = state.detach()

    def fork(self, rows: RowLike) -> "KVCache":
        """A new cache of the given rows, in the given order; a row may come more than once. This one is left alone.

        Args:
            rows: indices, or a boolean mask of length batch.

        Raises:
            InferError: no row, or one that is not there.
        """
        index = self._index(rows)
        picked = KVCache(len(index), self.max_len)
        picked._slots = self._slots.pick(index.to(self._slots.table.device))
        picked._keys = {layer: keys[index.to(keys.device)] for layer, keys in self._keys.items()}
        picked._values = {layer: values[index.to(values.device)] for layer, values in self._values.items()}
        picked._lists = {key: entries.pick(index) for key, entries in self._lists.items()}
        picked._states = {key: state[index.to(state.device)] for key, state in self._states.items()}
        return picked

    def select(self, rows: RowLike) -> None:
        """Keep only the given rows, in the given order, in place: how finished rows leave a batch.

        Raises:
            InferError: no row, or one that is not there.
        """
        self._become(self.fork(rows))

    def expand(self, n: int) -> None:
        """Repeat each row n times, in place (0, 0, 1, 1, ...): a prompt prefilled once serves n samples.

        Raises:
            InferError: n < 1.
        """
        if n < 1:
            raise InferError(f"n={n} copies of each row; use n >= 1")
        self._become(self.fork(torch.arange(self.batch).repeat_interleave(n)))

    def join(self, other: "KVCache") -> None:
        """Add copies of another cache's rows below these, in place: how waiting prompts enter a batch.

        Raises:
            InferError: the two do not hold the same layers, lists and states.
        """
        if self._contents() != other._contents():
            raise InferError(
                f"a cache of {self._contents()} and one of {other._contents()} differ; join caches of the same model"
            )
        self._slots.append(other._slots)
        for mine, theirs in ((self._keys, other._keys), (self._values, other._values)):
            for layer, buffer in mine.items():
                mine[layer] = joined(buffer, theirs[layer], self.capacity, 2)
        for key, entries in self._lists.items():
            entries.join(other._lists[key])
        self._states = {key: torch.cat([state, other._states[key]]) for key, state in self._states.items()}
        self._batch += other.batch
        self._step = None

    def truncate(self, lengths: RowLike) -> None:
        """Keep the first lengths[b] tokens of row b, in place: how rejected drafts are taken back.

        Raises:
            InferError: a length is negative or longer than its row, or a layer keeps a state, which cannot go back.
        """
        given = torch.as_tensor(lengths, dtype=torch.int64).to(self._slots.lengths.device)
        held = self.lengths
        if given.shape != held.shape or bool(((given < 0) | (given > held)).any()):
            raise InferError(
                f"lengths {given.tolist()} for rows of {held.tolist()} tokens; give 0 <= length <= held, one a row"
            )
        if self._states and not torch.equal(given, held):
            raise InferError(
                f"layers {sorted({layer for layer, _ in self._states})} keep states, which cannot be taken back; "
                "fork the cache before the tokens to be taken back"
            )
        for entries in self._lists.values():
            entries.forget_after(self._last_after(given))
        self._slots.truncate(given.minimum(self._slots.lengths))
        self._step = None

    def _last_after(self, lengths: Int[Tensor, "batch"]) -> Int[Tensor, "batch"]:
        """The position of each row's token number lengths[b], -1 for none, as the fullest record has it."""
        records = (self._slots, *(entries.slots for entries in self._lists.values()))
        table = max(records, key=lambda slots: slots.used).table.to(lengths.device)
        last = table.gather(1, (lengths - 1).clamp(min=0)[:, None])[:, 0] if table.shape[1] else lengths
        return torch.where(lengths > 0, last, -1)

    def _contents(self) -> tuple[list[int], list[tuple[int, str]], list[tuple[int, str]]]:
        return sorted(self._keys), sorted(self._lists), sorted(self._states)

    def _enter(self, layer: int, positions: Tensor) -> Step:
        if self._step is None or layer in self._attended:
            if self._step is not None and self._attended != self._keys.keys():
                missing = sorted(self._keys.keys() - self._attended)
                raise InferError(f"layers {missing} did not attend in the last pass; run every layer once, or truncate")
            self._step = self._slots.place(positions)
            self._attended = set()
        if positions.shape != self._step.positions.shape:
            raise InferError(
                f"layer {layer} has positions of shape {tuple(positions.shape)}, the pass was opened with "
                f"{tuple(self._step.positions.shape)}; give every layer the same"
            )
        self._attended.add(layer)
        return self._step

    def _again(self, layer: int) -> Step:
        if self._step is None or layer not in self._attended:
            raise InferError(f"layer {layer} has stored nothing in this pass; is_stored=True asks for what it stored")
        return self._step

    def _store(self, buffers: dict[int, Tensor], layer: int, new_BKTD: Tensor, step: Step) -> Tensor:
        batch, heads, seq, width = new_BKTD.shape
        held = buffers.get(layer)
        if held is None and step.past:
            raise InferError(
                f"layer {layer} first attends after {step.past} tokens; run every layer from the first pass on"
            )
        if held is None:
            # Zeros, not garbage: a masked slot has weight 0, and 0 * NaN would be NaN.
            held = new_BKTD.new_zeros(batch, heads, self.capacity, width)
        elif (held.shape[1], held.shape[3], held.dtype) != (heads, width, new_BKTD.dtype):
            raise InferError(
                f"layer {layer} holds {held.shape[1]} heads of width {held.shape[3]} in {held.dtype}, "
                f"given {heads} of {width} in {new_BKTD.dtype}; keep them the same"
            )
        held = buffers[layer] = grown(held, self.capacity, 2)
        if step.is_full and step.is_level:
            held[:, :, step.used - seq : step.used] = new_BKTD
        else:
            held[step.rows, :, step.slots] = new_BKTD[step.rows, :, step.columns]
        return held

    def _index(self, rows: RowLike) -> Int[Tensor, "rows"]:
        index = torch.as_tensor(rows)
        if index.dtype == torch.bool and index.shape == (self.batch,):
            index = index.nonzero()[:, 0]
        is_index = index.ndim == 1 and len(index) > 0 and not index.is_floating_point() and index.dtype != torch.bool
        if not is_index or bool(((index < 0) | (index >= self.batch)).any()):
            raise InferError(
                f"rows {index.tolist()} of a cache of {self.batch}; give at least one index in [0, {self.batch})"
            )
        return index

    def _become(self, other: "KVCache") -> None:
        self._slots, self._keys, self._values, self._step = other._slots, other._keys, other._values, None
        self._lists, self._states, self._batch = other._lists, other._states, other._batch
