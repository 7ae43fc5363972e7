import re

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_infer import InferError, KVCache
from torch.utils._python_dispatch import TorchDispatchMode

EXACT = {"rtol": 1e-10, "atol": 1e-10}  # float64 sums of a few dozen terms in another order


class History:
    """The slow reference: every row keeps a list of (position, keys, values), and loops attend one query at a time."""

    def __init__(self, rows):
        self.rows = [[] for _ in range(rows)]

    def attend(self, q, k, v, positions, window=None, scale=None, sinks=None, softcap=None, slopes=None):
        out = torch.zeros(*q.shape[:3], v.shape[3], dtype=q.dtype)
        group = q.shape[1] // k.shape[1]
        for b, row in enumerate(self.rows):
            for t, position in enumerate(positions[b].tolist()):
                if position >= 0:
                    row.append((position, k[b, :, t], v[b, :, t]))
            for t, position in enumerate(positions[b].tolist()):
                seen = [e for e in row if e[0] <= position and (window is None or e[0] > position - window)]
                for h in range(q.shape[1] if position >= 0 else 0):
                    keys = torch.stack([e[1][h // group] for e in seen])
                    values = torch.stack([e[2][h // group] for e in seen])
                    scores = keys @ q[b, h, t] * (scale or q.shape[3] ** -0.5)
                    scores = scores if softcap is None else softcap * (scores / softcap).tanh()
                    if slopes is not None:
                        scores = scores - slopes[h] * torch.tensor([position - e[0] for e in seen])
                    if sinks is not None:
                        scores = torch.cat([scores, sinks[h : h + 1]])
                    out[b, h, t] = scores.softmax(0)[: len(seen)] @ values
        return out


def draw(generator, batch, heads, kv_heads, seq, d_head, d_value):
    q = torch.randn(batch, heads, seq, d_head, generator=generator, dtype=torch.float64)
    k = torch.randn(batch, kv_heads, seq, d_head, generator=generator, dtype=torch.float64)
    v = torch.randn(batch, kv_heads, seq, d_value, generator=generator, dtype=torch.float64)
    return q, k, v


def next_positions(data, last, seq, side):
    """Rising positions after `last`, with gaps, and padding on a side or anywhere."""
    rows = []
    for row, newest in enumerate(last):
        count = data.draw(st.integers(0, seq), label="tokens in the row")
        gaps = data.draw(st.lists(st.integers(1, 3), min_size=count, max_size=count))
        values = [newest + sum(gaps[: i + 1]) for i in range(count)]
        padding = [-1] * (seq - count)
        rows.append(values + padding if side == "right" else padding + values)
        last[row] = values[-1] if values else newest
    return torch.tensor(rows).reshape(len(last), seq)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_sinks_softcap_and_bias_match_the_loop(data):
    batch, (kv_heads, group) = data.draw(st.integers(1, 3)), data.draw(st.sampled_from([(1, 1), (2, 2), (1, 3)]))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 10**6)))
    heads, options = kv_heads * group, {"window": data.draw(st.sampled_from([None, 2]))}
    options["softcap"] = data.draw(st.sampled_from([None, 1.5]))
    slopes = data.draw(st.sampled_from([None, torch.rand(heads, generator=generator, dtype=torch.float64)]))
    sinks = data.draw(st.sampled_from([None, torch.randn(heads, generator=generator, dtype=torch.float64)]))

    def bias(queries, keys):
        return -slopes[:, None, None] * (queries[:, None, :, None] - keys[:, None, None, :])

    cache, history, last = KVCache(batch, capacity=2), History(batch), [-1] * batch
    for _ in range(3):
        positions = next_positions(data, last, data.draw(st.integers(1, 4)), "left")
        q, k, v = draw(generator, batch, heads, kv_heads, positions.shape[1], 4, 5)
        expected = history.attend(q, k, v, positions, sinks=sinks, slopes=slopes, **options)
        got = cache.attend(0, q, k, v, positions, sinks=sinks, bias=None if slopes is None else bias, **options)
        padding = (positions < 0)[:, None, :, None]
        assert got.isfinite().all()
        torch.testing.assert_close(got.masked_fill(padding, 0.0), expected, **EXACT)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_cache_matches_a_loop_over_history_in_any_order_of_operations(data):
    batch = data.draw(st.integers(1, 3))
    kv_heads, group = data.draw(st.sampled_from([(1, 1), (2, 1), (1, 3), (2, 2)]))
    d_head, d_value = data.draw(st.sampled_from([(4, 4), (5, 5), (4, 6)]))
    window = data.draw(st.sampled_from([None, 1, 3]))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 10**6)))
    cache, history, last = KVCache(batch, capacity=2), History(batch), [-1] * batch
    for _ in range(data.draw(st.integers(1, 5))):
        action = data.draw(st.sampled_from(["attend", "attend", "select", "expand", "truncate", "join"]))
        if action == "attend" or not cache.size_bytes:
            seq = data.draw(st.integers(1, 4))
            positions = next_positions(data, last, seq, data.draw(st.sampled_from(["left", "right"])))
            q, k, v = draw(generator, len(last), kv_heads * group, kv_heads, seq, d_head, d_value)
            expected = history.attend(q, k, v, positions, window)
            poison = (positions < 0)[:, None, :, None]
            nan = float("nan")  # padding may hold anything: it must not leak
            got = cache.attend(0, q, k.masked_fill(poison, nan), v.masked_fill(poison, nan), positions, window=window)
            torch.testing.assert_close(got.masked_fill(poison, 0.0), expected, **EXACT)
        elif action == "select":
            rows = data.draw(st.lists(st.integers(0, len(last) - 1), min_size=1, max_size=4))
            cache.select(rows)
            history.rows, last = [list(history.rows[r]) for r in rows], [last[r] for r in rows]
        elif action == "expand":
            cache.expand(2)
            history.rows = [list(row) for row in history.rows for _ in range(2)]
            last = [newest for newest in last for _ in range(2)]
        elif action == "join":
            cache.join(cache.fork([0]))
            history.rows.append(list(history.rows[0]))
            last = [*last, last[0]]
        else:
            lengths = [data.draw(st.integers(0, len(row))) for row in history.rows]
            cache.truncate(lengths)
            history.rows = [row[:length] for row, length in zip(history.rows, lengths, strict=True)]
            last = [row[-1][0] if row else -1 for row in history.rows]
        assert cache.lengths.tolist() == [len(row) for row in history.rows]
        assert cache.batch == len(last)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_cache_keeps_dtype_and_takes_strided_input(dtype):
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(2, 5, 4, 8, generator=generator).to(dtype).transpose(1, 2)
    k = torch.randn(2, 5, 2, 8, generator=generator).to(dtype).transpose(1, 2)
    cache = KVCache(2)
    got = cache.attend(0, q, k, k, torch.arange(5).expand(2, 5))
    expected = F.scaled_dot_product_attention(q.double(), k.double(), k.double(), is_causal=True, enable_gqa=True)
    assert got.dtype == dtype
    # one rounding of the result and one of the weights: a few units in the last place of the dtype
    torch.testing.assert_close(got.double(), expected, rtol=0, atol=4 * torch.finfo(dtype).eps)


def test_cache_takes_no_tokens_at_all():
    cache = KVCache(2)
    out = cache.attend(
        0, torch.ones(2, 2, 0, 4), torch.ones(2, 1, 0, 4), torch.ones(2, 1, 0, 4), torch.zeros(2, 0).long()
    )
    assert out.shape == (2, 2, 0, 4)
    padding = torch.full((2, 3), -1)
    out = cache.attend(0, torch.ones(2, 2, 3, 4), torch.ones(2, 1, 3, 4), torch.ones(2, 1, 3, 4), padding)
    assert out.isfinite().all()
    assert cache.lengths.tolist() == [0, 0]


class Allocations(TorchDispatchMode):
    """The largest tensor that any operation allocates (a view of its input allocates nothing)."""

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        held = {a.untyped_storage().data_ptr() for a in args if isinstance(a, torch.Tensor)}
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage().data_ptr() not in held:
                self.largest = max(self.largest, tensor.numel())
        return out


@pytest.mark.parametrize("ragged", [False, True])
def test_decode_step_copies_no_cache(ragged):
    cache = KVCache(8, capacity=128)
    positions = torch.arange(100).repeat(8, 1)
    if ragged:
        positions[3, 50:] = -1
    k = torch.randn(8, 2, 100, 16)
    cache.attend(0, torch.randn(8, 8, 100, 16), k, k, positions)
    with Allocations() as allocations:
        step = torch.randn(8, 2, 1, 16)
        cache.attend(0, torch.randn(8, 8, 1, 16), step, step, cache.lengths[:, None])
    assert 0 < allocations.largest <= 8 * 8 * 128  # scores of one step; the keys alone are 8 * 2 * 100 * 16


def test_cache_grows_by_doubling_up_to_max_len():
    cache = KVCache(1, max_len=11, capacity=2)
    one = torch.ones(1, 1, 1, 2)
    capacities = []
    for position in range(11):
        cache.attend(0, one, one, one, torch.tensor([[position]]))
        capacities.append(cache.capacity)
    assert capacities == [2, 2, 4, 4, 8, 8, 8, 8, 11, 11, 11]
    with pytest.raises(InferError, match="12 tokens passes max_len=11"):
        cache.attend(0, one, one, one, torch.tensor([[11]]))
    assert cache.lengths.tolist() == [11]


def test_fork_leaves_its_source_alone():
    cache = KVCache(2)
    k = torch.randn(2, 1, 3, 4)
    cache.attend(0, k, k, k, torch.arange(3).expand(2, 3))
    fork = cache.fork(torch.tensor([False, True]))
    one = torch.randn(1, 1, 1, 4)
    fork.attend(0, one, one, one, torch.tensor([[3]]))
    assert (cache.lengths.tolist(), fork.lengths.tolist()) == ([3, 3], [4])
    two = torch.randn(2, 1, 1, 4)
    got = cache.attend(0, two, two, two, torch.tensor([[3], [3]]))
    torch.testing.assert_close(got, F.scaled_dot_product_attention(two, *[torch.cat([k, two], 2)] * 2))


def test_cache_takes_int32_positions():
    cache = KVCache(1)
    k = torch.randn(1, 1, 3, 4)
    for a, b in ((0, 2), (2, 3)):
        cache.attend(0, k[:, :, a:b], k[:, :, a:b], k[:, :, a:b], torch.arange(a, b, dtype=torch.int32)[None])
    assert cache.lengths.tolist() == [3]


def test_cache_carries_no_gradient():
    cache = KVCache(1)
    k = torch.randn(1, 1, 3, 4, requires_grad=True)
    assert not cache.attend(0, k, k, k, torch.arange(3)[None]).requires_grad


def attend(cache, positions, layer=0, heads=2, kv_heads=1, d_head=4):
    batch, seq = positions.shape
    k = torch.ones(batch, kv_heads, seq, d_head)
    return cache.attend(layer, torch.ones(batch, heads, seq, d_head), k, k, positions)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda c: attend(c, torch.tensor([[2], [3]])), "must rise within a row"),
        (lambda c: attend(c, torch.tensor([[3, 3], [3, 4]])), "must rise within a row"),
        (lambda c: attend(c, torch.tensor([[-2], [3]])), "must rise within a row"),
        (lambda c: attend(c, torch.tensor([[3]])), "for 2 rows"),
        (lambda c: attend(c, torch.tensor([[3], [3]]), heads=3, kv_heads=2), "must divide heads=3"),
        (lambda c: attend(c, torch.tensor([[3], [3]]), d_head=5), "keep them the same"),
        (lambda c: [attend(c, torch.tensor([[3], [3]]), layer=i) for i in (0, 1)], "first attends after 3 tokens"),
        (lambda c: c.attend(0, *[torch.ones(2, 4)] * 3, torch.tensor([[3], [3]])), "give q (batch, heads"),
        (lambda c: c.attend(0, *[torch.ones(2, 1, 1, 4)] * 3, torch.tensor([[3], [3]]), window=0), "window=0"),
        (lambda c: c.select([]), "rows []"),
        (lambda c: c.select([2]), "cache of 2"),
        (lambda c: c.fork([-1]), "cache of 2"),
        (lambda c: c.expand(0), "n=0"),
        (lambda c: c.truncate([4, 0]), "0 <= length <= held"),
        (lambda c: c.truncate([1]), "0 <= length <= held"),
        (lambda c: c.join(KVCache(1)), "a cache of ([0], [], []) and one of ([], [], [])"),
        (lambda c: KVCache(0), "batch=0"),
    ],
)
def test_cache_refuses(act, message):
    cache = KVCache(2)
    attend(cache, torch.arange(3).expand(2, 3))
    with pytest.raises(InferError, match=re.escape(message)):
        act(cache)


def test_cache_refuses_a_pass_that_left_a_layer_out():
    cache = KVCache(1)
    attend(cache, torch.tensor([[0]]), layer=0)
    attend(cache, torch.tensor([[0]]), layer=1)
    attend(cache, torch.tensor([[1]]), layer=0)
    with pytest.raises(InferError, match=r"layers \[1\] did not attend"):
        attend(cache, torch.tensor([[2]]), layer=0)
    cache.truncate([1])
    attend(cache, torch.tensor([[1]]), layer=0)
    with pytest.raises(InferError, match="give every layer the same"):
        attend(cache, torch.tensor([[1, 2]]), layer=1)
