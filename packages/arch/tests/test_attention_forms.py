"""Every form of softmax attention against a float64 loop, and the positions against their formulas."""

import math
from dataclasses import replace

import pytest
import torch
from octad_arch import (
    ALiBi,
    AllHeads,
    ArchError,
    Attention,
    Decoder,
    DynamicCache,
    DyT,
    LearnedPositions,
    LinearScaling,
    NTKScaling,
    ParallelLayer,
    RMSNorm,
    RoPE,
    SwiGLU,
    YaRN,
    mix,
)


def loop(q, k, v, queries, keys, is_causal, scale, window, sinks, softcap, bias, keep):
    """The definition, one query at a time, in float64."""
    out = torch.zeros(*q.shape[:3], v.shape[3], dtype=torch.float64)
    group = q.shape[1] // k.shape[1]
    for b in range(q.shape[0]):
        for h in range(q.shape[1]):
            for i in range(q.shape[2]):
                scores, values = [], []
                for j in range(k.shape[2]):
                    distance = int(queries[b, i] - keys[b, j])
                    hidden = keys[b, j] < 0 or (is_causal and distance < 0) or (keep is not None and not keep[b, j])
                    if hidden or (window is not None and abs(distance) >= window):
                        continue
                    score = float(q[b, h, i].double() @ k[b, h // group, j].double()) * scale
                    score = score if softcap is None else softcap * math.tanh(score / softcap)
                    scores.append(score if bias is None else score - bias[h] * distance)
                    values.append(v[b, h // group, j].double())
                if not scores:
                    continue
                total = [math.exp(score) for score in scores]
                weight = sum(total) + (0.0 if sinks is None else math.exp(float(sinks[h])))
                out[b, h, i] = sum(part / weight * value for part, value in zip(total, values, strict=True))
    return out


@pytest.mark.parametrize("seed", range(24))
def test_mix_equals_the_float64_loop(seed):
    generator = torch.Generator().manual_seed(seed)

    def coin():
        return bool(torch.randint(2, (), generator=generator))

    kv_heads, groups, seq, slots = 2, 3, 3, 7
    q = torch.randn(2, kv_heads * groups, seq, 5, generator=generator)
    k, v = (
        torch.randn(2, kv_heads, slots, 5, generator=generator),
        torch.randn(2, kv_heads, slots, 4, generator=generator),
    )
    keys = torch.arange(slots).repeat(2, 1)
    keys[1, :2] = -1
    queries = torch.tensor([[4, 5, 6], [2, 5, 6]])
    alibi = ALiBi() if coin() else None
    options = {
        "is_causal": coin(),
        "scale": 0.7,
        "window": 3 if coin() else None,
        "sinks": torch.randn(6, generator=generator) if coin() else None,
        "softcap": 1.5 if coin() else None,
        "keep": torch.rand(2, slots, generator=generator) > 0.3 if coin() else None,
    }
    got = mix(q, k, v, queries, keys, bias=None if alibi is None else alibi.build(6), **options)
    expected = loop(q, k, v, queries, keys, bias=None if alibi is None else alibi.slopes(6), **options)
    torch.testing.assert_close(got.double(), expected, rtol=1e-5, atol=1e-5)


def test_mix_gives_finite_numbers_where_nothing_is_seen():
    q, k = torch.randn(1, 2, 2, 4), torch.randn(1, 2, 3, 4)
    for extra in ({}, {"softcap": 2.0}, {"sinks": torch.zeros(2)}, {"bias": ALiBi().build(2)}):
        got = mix(q, k, k, torch.tensor([[-1, 1]]), torch.tensor([[0, 1, 2]]), **extra)
        assert got.isfinite().all()


def test_alibi_slopes_are_those_of_the_paper():
    assert ALiBi().slopes(8) == tuple(2.0**-h for h in range(1, 9))
    assert ALiBi().slopes(6) == (0.25, 0.0625, 0.015625, 0.00390625, 0.5, 0.125)


def test_ntk_scaling_is_a_larger_theta():
    positions = torch.arange(9)
    scaled = RoPE(1e4, scaling=NTKScaling(3.0)).rotation(positions, 12, torch.float32)
    larger = RoPE(1e4 * 3.0 ** (12 / 10)).rotation(positions, 12, torch.float32)
    torch.testing.assert_close(scaled, larger)


def test_linear_scaling_divides_positions():
    scaled = RoPE(scaling=LinearScaling(4.0)).rotation(torch.arange(0, 40, 4), 10, torch.float32)
    torch.testing.assert_close(scaled, RoPE().rotation(torch.arange(10), 10, torch.float32))


@pytest.mark.parametrize("neighbours", [False, True])
def test_rotated_scores_depend_on_distance_alone(neighbours):
    rope = RoPE(channels=6, neighbours=neighbours, scaling=YaRN(4.0, 16))
    q, k = torch.randn(1, 10), torch.randn(1, 10)

    def score(at, other):
        turned = [rope.rotate(x, rope.rotation(torch.tensor([p]), 10, torch.float32)) for x, p in ((q, at), (k, other))]
        return (turned[0] * turned[1]).sum()

    torch.testing.assert_close(score(3, 1), score(23, 21))
    assert not torch.isclose(score(3, 1), score(4, 1))


def test_dyt_is_a_scaled_tanh():
    module, x = DyT(0.7).build(5), torch.randn(3, 5)
    module.initialize(0.02, 0.02, torch.Generator())
    torch.testing.assert_close(module(x), torch.tanh(0.7 * x))
    with torch.no_grad():
        module.weight.fill_(2.0)
        module.bias.fill_(1.0)
    torch.testing.assert_close(module(x), 2 * torch.tanh(0.7 * x) + 1)


def test_gate_multiplies_what_the_heads_give():
    spec = Attention(2, 1, 4, gate=True)
    layers = (ParallelLayer(spec, SwiGLU(8)),)
    gated = Decoder(17, 8, layers).build()
    plain = Decoder(17, 8, (replace(layers[0], mixer=replace(spec, gate=False)),)).build()
    plain.load_state_dict({name: x for name, x in gated.state_dict().items() if ".gate." not in name or "feed" in name})
    tokens = torch.arange(6)[None]
    with torch.no_grad():
        gated.layers[0].mixer.gate.weight.zero_()
        plain.layers[0].mixer.output.weight.mul_(0.5)  # sigmoid(0)
    torch.testing.assert_close(gated(tokens), plain(tokens))


@pytest.mark.parametrize("channels", [0, 3, 12])
def test_rope_refuses_channels_that_cannot_turn(channels):
    with pytest.raises(ArchError, match=f"channels={channels} of d_head=10 cannot turn"):
        Attention(2, 2, 10, RoPE(channels=channels))


def test_attention_refuses_a_window_that_hides_everything():
    with pytest.raises(ArchError, match="window=0"):
        Attention(2, 2, 4, window=0)


def test_learned_positions_refuse_what_is_past_their_table():
    model = Decoder(17, 8, (ParallelLayer(Attention(2, 2, 4, None), SwiGLU(8)),), position=LearnedPositions(4)).build()
    assert model(torch.zeros(1, 4, dtype=torch.long)).shape == (1, 4, 17)
    with pytest.raises(ArchError, match="position 4 is past the learned table of 4 positions"):
        model(torch.zeros(1, 5, dtype=torch.long))


def test_cache_refuses_another_number_of_rows():
    layer = ParallelLayer(Attention(2, 2, 4, qk_norm=AllHeads(RMSNorm())), SwiGLU(8))
    model, cache = Decoder(17, 8, (layer,)).build(), DynamicCache()
    model(torch.zeros(2, 3, dtype=torch.long), torch.arange(3), cache)
    with pytest.raises(ArchError, match="1 rows, but the cache holds 2"):
        model(torch.zeros(1, 1, dtype=torch.long), torch.tensor([3]), cache)
    cache.select(torch.tensor([1]))
    assert model(torch.zeros(1, 1, dtype=torch.long), torch.tensor([3]), cache).shape == (1, 1, 17)
