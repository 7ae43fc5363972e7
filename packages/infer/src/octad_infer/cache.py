"""A key-value cache of ragged rows that attends for the model.

Legend: B rows, H query heads, K key-value heads, T new tokens, S slots, D head width.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from octad_infer.errors import InferError
from octad_infer.slots import EMPTY, Slots, Step

RowLike = Sequence[int] | Int[Tensor, "rows"]


class KVCache:
    """Keys and values of every layer, (batch, kv_heads, slots, d_head) each, grown by doubling.

    Nothing is allocated before the first `attend`, which shows the layers, heads, widths, dtype and device. Rows may
    hold different numbers of tokens. No gradient flows through a cache.

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
        self._step: Step | None = None
        self._attended: set[int] = set()

    @property
    def batch(self) -> int:
        """How many rows there are."""
        return len(self._slots.lengths)

    @property
    def lengths(self) -> Int[Tensor, "batch"]:
        """Tokens stored in each row."""
        return self._slots.lengths.clone()

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
        """Memory held by keys and values."""
        return sum(buffer.nbytes for buffer in (*self._keys.values(), *self._values.values()))

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

        Raises:
            InferError: shapes disagree, positions do not rise, max_len is passed, or a layer skipped a pass.
        Cost: reads each stored key and value of the layer once and copies none (only growing does).
        """
        _check_shapes(q, k, v, positions)
        if window is not None and window < 1:
            raise InferError(f"window={window} hides every key; use window >= 1 or None")
        step = self._enter(layer, positions)
        keys = self._store(self._keys, layer, k, step)
        values = self._store(self._values, layer, v, step)
        if step.used == 0:
            return q.new_zeros(*q.shape[:3], v.shape[3])
        if sinks is not None or softcap is not None or bias is not None:
            stored = keys[:, :, : step.used], values[:, :, : step.used]
            added = None if bias is None else bias(positions, step.table.masked_fill(step.table == EMPTY, 0))
            return _scored_attention(q, *stored, step.mask(window), scale, sinks, softcap, added)
        if step.is_fresh and window is None:
            # Right padding lies after every real query, so the plain causal mask is already exact.
            seq = q.shape[2]
            return F.scaled_dot_product_attention(
                q, keys[:, :, :seq], values[:, :, :seq], is_causal=True, scale=scale, enable_gqa=True
            )
        return _grouped_attention(q, keys[:, :, : step.used], values[:, :, : step.used], step.mask(window), scale)

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

    def append(self, other: "KVCache") -> None:
        """Add copies of another cache's rows below these, in place: how waiting prompts enter a batch.

        Raises:
            InferError: the two do not hold the same layers.
        """
        if self._keys.keys() != other._keys.keys():
            raise InferError(
                f"layers {sorted(self._keys)} and {sorted(other._keys)} differ; append a cache of the same model"
            )
        self._slots.append(other._slots)
        for mine, theirs in ((self._keys, other._keys), (self._values, other._values)):
            for layer, buffer in mine.items():
                mine[layer] = torch.cat([_grown(buffer, self.capacity), _grown(theirs[layer], self.capacity)])
        self._step = None

    def truncate(self, lengths: RowLike) -> None:
        """Keep the first lengths[b] tokens of row b, in place: how rejected drafts are taken back.

        Raises:
            InferError: a length is negative or longer than its row.
        """
        given = torch.as_tensor(lengths, dtype=torch.int64).to(self._slots.lengths.device)
        held = self._slots.lengths
        if given.shape != held.shape or bool(((given < 0) | (given > held)).any()):
            raise InferError(
                f"lengths {given.tolist()} for rows of {held.tolist()} tokens; give 0 <= length <= held, one a row"
            )
        self._slots.truncate(given.clone())
        self._step = None

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
        held = buffers[layer] = _grown(held, self.capacity)
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


def _grouped_attention(
    q_BHTD: Tensor, k_BKSD: Tensor, v_BKSD: Tensor, mask: Tensor | None, scale: float | None
) -> Float[Tensor, "batch heads seq d_value"]:
    """Grouped-query attention. One token a row: its H // K queries of a group stand in a line over one shared head.

    That reads the cache as it lies, through a view; repeating key-value heads would copy it at every step.
    """
    batch, heads, seq, _ = q_BHTD.shape
    kv_heads = k_BKSD.shape[1]
    if seq > 1:
        is_grouped = heads != kv_heads
        return F.scaled_dot_product_attention(
            q_BHTD, k_BKSD, v_BKSD, attn_mask=mask, scale=scale, enable_gqa=is_grouped
        )
    line = q_BHTD.reshape(batch, kv_heads, heads // kv_heads, -1)
    mixed = F.scaled_dot_product_attention(line, k_BKSD, v_BKSD, attn_mask=mask, scale=scale)
    return mixed.reshape(batch, heads, 1, -1)


def _scored_attention(
    q_BHTD: Tensor,
    k_BKSD: Tensor,
    v_BKSD: Tensor,
    mask: Tensor | None,
    scale: float | None,
    sinks_H: Tensor | None,
    softcap: float | None,
    added: Tensor | None,
) -> Float[Tensor, "batch heads seq d_value"]:
    """With the scores in memory, for what fused kernels do not know; the softmax in float32 at least."""
    groups = q_BHTD.shape[1] // k_BKSD.shape[1]
    k_BHSD, v_BHSD = k_BKSD.repeat_interleave(groups, 1), v_BKSD.repeat_interleave(groups, 1)
    scores_BHTS = q_BHTD @ k_BHSD.transpose(-1, -2) * (q_BHTD.shape[-1] ** -0.5 if scale is None else scale)
    if softcap is not None:
        scores_BHTS = softcap * torch.tanh(scores_BHTS / softcap)
    if added is not None:
        scores_BHTS = scores_BHTS + added
    scores_BHTS = scores_BHTS.to(torch.promote_types(scores_BHTS.dtype, torch.float32))
    if mask is not None:
        scores_BHTS = scores_BHTS.masked_fill(~mask, -torch.inf)
    if sinks_H is not None:
        sink = sinks_H.to(scores_BHTS.dtype)[:, None, None].expand(*scores_BHTS.shape[:3], 1)
        scores_BHTS = torch.cat((scores_BHTS, sink), -1)
    weights_BHTS = scores_BHTS.softmax(-1)[..., : k_BHSD.shape[2]]
    return weights_BHTS.to(v_BHSD.dtype) @ v_BHSD


def _grown(buffer: Tensor, capacity: int) -> Tensor:
    return buffer if buffer.shape[2] >= capacity else F.pad(buffer, (0, 0, 0, capacity - buffer.shape[2]))


def _check_shapes(q: Tensor, k: Tensor, v: Tensor, positions: Tensor) -> None:
    is_4d = q.ndim == k.ndim == v.ndim == 4
    if not is_4d or k.shape[:3] != v.shape[:3] or q.shape[3] != k.shape[3]:
        raise InferError(
            f"q {tuple(q.shape)}, k {tuple(k.shape)}, v {tuple(v.shape)}; give q (batch, heads, seq, d_head), "
            "k and v (batch, kv_heads, seq, ...)"
        )
    batch, heads, seq, _ = q.shape
    if (batch, seq) != (k.shape[0], k.shape[2]) or (batch, seq) != tuple(positions.shape) or heads % k.shape[1]:
        raise InferError(
            f"q {tuple(q.shape)}, k {tuple(k.shape)}, positions {tuple(positions.shape)}: batch and seq must agree and "
            f"kv_heads={k.shape[1]} must divide heads={heads}"
        )
