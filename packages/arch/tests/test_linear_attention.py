"""Linear attention: chunks against the recurrence, against transformers; mixers cached, ragged and causal."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from octad_arch import (
    MLP,
    ArchError,
    Attention,
    Decoder,
    DynamicCache,
    GatedDeltaNet,
    Initialization,
    KimiDeltaAttention,
    Layer,
    Mamba2,
    delta_rule,
    delta_rule_recurrent,
    describe,
    linear_attention,
    linear_attention_recurrent,
)
from torch.utils.flop_counter import FlopCounterMode

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
MIXERS = {
    "delta": GatedDeltaNet(4, 2, 6, 5),
    "negative": GatedDeltaNet(2, 2, 4, 8, width=3, negative=True),
    "kimi": KimiDeltaAttention(3, 6),
    "mamba": Mamba2(4, 6, 5, groups=2),
    "mamba biased": Mamba2(2, 8, 3, bias=True, convolution_bias=False, steps=(0.01, 0.5)),
}


def inputs(length, by_channel, strength=1.0, dtype=torch.float32, d_key=16, d_value=12, heads=2):
    generator = torch.Generator().manual_seed(length)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype)

    q, k = (F.normalize(draw(2, heads, length, d_key), dim=-1) for _ in range(2))
    g = -strength * F.softplus(draw(2, heads, length, *([d_key] if by_channel else [])))
    beta = torch.sigmoid(draw(2, heads, length))
    return q, k, draw(2, heads, length, d_value), g, beta, draw(2, heads, d_key, d_value)


@pytest.mark.parametrize("by_channel", [False, True])
@pytest.mark.parametrize("strength", [1e-3, 0.1, 1.0, 20.0])
@pytest.mark.parametrize("length", [1, 15, 64, 100, 1024])
def test_delta_rule_in_chunks_equals_the_recurrence(by_channel, strength, length):
    q, k, v, g, beta, state = inputs(length, by_channel, strength)
    for start in (None, state):
        read, last = delta_rule(q, k, v, g, beta, start)
        expected, expected_last = delta_rule_recurrent(q, k, v, g, beta, start)
        torch.testing.assert_close(read, expected, **CLOSE)
        torch.testing.assert_close(last, expected_last, **CLOSE)


@pytest.mark.parametrize("strength", [1e-3, 1.0, 20.0])
@pytest.mark.parametrize("length", [1, 15, 64, 100, 1024])
def test_linear_attention_in_chunks_equals_the_recurrence(strength, length):
    q, k, v, g, _, state = inputs(length, False, strength)
    for start in (None, state):
        read, last = linear_attention(q, k, v, g, start)
        expected, expected_last = linear_attention_recurrent(q, k, v, g, start)
        scale = expected.abs().max()  # sums of a thousand terms: relative to the largest
        torch.testing.assert_close(read / scale, expected / scale, **CLOSE)
        torch.testing.assert_close(last, expected_last, rtol=1e-4, atol=1e-4)
    shared, _ = linear_attention(q[:, :1], k[:, :1], v, g)
    repeated, _ = linear_attention(q[:, :1].expand_as(q), k[:, :1].expand_as(k), v, g)
    torch.testing.assert_close(shared, repeated, **CLOSE)


def test_the_recurrence_is_the_papers_formula():
    """S_t = exp(g) (1 - β k kᵀ) S + β k vᵀ in float64, from the matrix form."""
    q, k, v, g, beta, _ = inputs(9, False, dtype=torch.float64)
    read, _ = delta_rule_recurrent(q, k, v, g, beta)
    for b in range(2):
        for h in range(2):
            S = torch.zeros(16, 12, dtype=torch.float64)
            for t in range(9):
                key, strength = k[b, h, t], beta[b, h, t]
                S = g[b, h, t].exp() * (torch.eye(16) - strength * key[:, None] * key) @ S
                S = S + strength * key[:, None] * v[b, h, t]
                torch.testing.assert_close(read[b, h, t], q[b, h, t] @ S)


@pytest.mark.parametrize("by_channel", [False, True])
def test_gradients_through_chunks_are_right(by_channel):
    q, k, v, g, beta, state = (x[:1, :1].requires_grad_() for x in inputs(19, by_channel, 1.0, torch.float64, 3, 2))
    assert torch.autograd.gradcheck(lambda *x: delta_rule(*x, chunk=16), (q, k, v, g, beta, state))
    if not by_channel:
        assert torch.autograd.gradcheck(lambda *x: linear_attention(*x, chunk=8), (q, k, v, g, state))


def test_chunks_equal_transformers():
    from transformers.models.kimi_linear.modeling_kimi_linear import chunk_kimi_delta_attention
    from transformers.models.mamba2.modeling_mamba2 import mamba2_chunk_scan
    from transformers.models.qwen3_next.modeling_qwen3_next import torch_chunk_gated_delta_rule

    for by_channel, theirs in ((False, torch_chunk_gated_delta_rule), (True, chunk_kimi_delta_attention)):
        q, k, v, g, beta, state = inputs(100, by_channel, 0.3)
        turned = [x.transpose(1, 2) for x in (q, k, v)]
        given = {"g": g.transpose(1, 2), "beta": beta.transpose(1, 2), "initial_state": state}
        expected, last = theirs(*turned, **given, output_final_state=True)
        read, ours = delta_rule(q * 16**-0.5, k, v, g, beta, state)
        torch.testing.assert_close(read.transpose(1, 2), expected, **CLOSE)
        torch.testing.assert_close(ours, last, **CLOSE)
    q, k, v, g, _, _ = inputs(100, False, 0.3)
    step = -g
    turned = [x.transpose(1, 2) for x in (v, step, k, q)]
    expected = mamba2_chunk_scan(turned[0], turned[1], -torch.ones(2), turned[2], turned[3], 32)
    read, _ = linear_attention(q, k, v * step[..., None], g)
    torch.testing.assert_close(read.transpose(1, 2), expected, **CLOSE)


def model_of(name, with_attention=False):
    layer = Layer(MIXERS[name], MLP(20))
    layers = (layer, Layer(Attention(2, 1, 8), MLP(20)), layer) if with_attention else (layer, layer)
    model = Decoder(31, 24, layers, initialization=Initialization(0.3)).build()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(5))
    return model


TOKENS = torch.randint(31, (3, 70), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", MIXERS)
def test_cached_equals_uncached_for_any_split(name):
    model = model_of(name, with_attention=True).double()  # in float32 the split changes the rounding, up to 1e-4
    positions = torch.arange(70).expand(3, -1)
    with torch.no_grad():
        expected = model(TOKENS)
        for cuts in ([0, 70], [0, 1, 2, 3, 40, 41, 70], [0, 66, 67, 68, 69, 70]):
            cache = DynamicCache()
            spans = [slice(a, b) for a, b in pairwise(cuts)]
            parts = [model(TOKENS[:, span], positions[:, span], cache) for span in spans]
            torch.testing.assert_close(torch.cat(parts, 1), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", MIXERS)
def test_padding_anywhere_changes_no_state(name):
    model = model_of(name).double()  # padding changes the chunks, and so the rounding
    generator = torch.Generator().manual_seed(2)
    real = torch.rand(3, 24, generator=generator) < 0.6
    real[:, 3] = True
    positions = torch.where(real, real.long().cumsum(1) - 1, -1)
    tokens, cache = TOKENS[:, :24], DynamicCache()
    with torch.no_grad():
        spans = (slice(0, 9), slice(9, 10), slice(10, 24))
        together = torch.cat([model(tokens[:, span], positions[:, span], cache) for span in spans], 1)
        for row in range(3):
            alone = model(tokens[row : row + 1, real[row]])
            torch.testing.assert_close(together[row, real[row]], alone[0], rtol=1e-9, atol=1e-9)
        cache.select(torch.tensor([2, 0, 0]))
        after = model(tokens[[2, 0, 0], :1], real.sum(1)[[2, 0, 0], None], cache)
        for row, source in enumerate((2, 0, 0)):
            alone = model(torch.cat((tokens[source, real[source]], tokens[source, :1]))[None])[0, -1]
            torch.testing.assert_close(after[row, 0], alone, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", MIXERS)
def test_no_gradient_from_the_future_and_one_for_every_parameter(name):
    model = model_of(name)
    embedded = []
    model.embedding.register_forward_hook(lambda module, given, result: embedded.append(result))
    logits = model(TOKENS)
    (gradient,) = torch.autograd.grad(logits[:, 40].sum(), embedded[0], retain_graph=True)
    assert (gradient[:, 41:] == 0).all() and (gradient[:, :41] != 0).any(-1).all()
    logits.square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in model.parameters())


@pytest.mark.parametrize("name", MIXERS)
def test_cost_is_what_is_built_and_kept(name):
    model = model_of(name)
    cost = model.spec.cost(70)
    assert cost.parameters == sum(parameter.numel() for parameter in model.parameters())
    cache = DynamicCache()
    model(TOKENS[:1], torch.arange(70), cache)
    assert sum(state.numel() for state in cache._states.values()) == cost.state_elements > 0
    assert "of state a sequence" in describe(model.spec)
    with FlopCounterMode(display=False) as counter:
        model(TOKENS[:1, :1], torch.arange(1), DynamicCache())
    products = sum(sum(counts.values()) for key, counts in counter.get_flop_counts().items() if key == "Global")
    written = 2 * sum(layer.mixer.block.spec.cost(24, 1).attention_flops for layer in model.layers) // 2
    spread = {"kimi": 3, "delta": 3, "negative": 3}.get(name, 2)  # the outer product of a write is no matrix product
    assert products == cost.matmul_flops + written * (spread - 1) // spread


def test_a_cache_without_states_is_refused():
    class KeysOnly:
        def attend(self, *args, **options):
            raise AssertionError

    with pytest.raises(ArchError, match="keeps only keys and values"):
        model_of("delta")(TOKENS, torch.arange(70), KeysOnly())
    with pytest.raises(ArchError, match="does not divide"):
        GatedDeltaNet(4, 3, 8, 8)
    with pytest.raises(ArchError, match="multiple of 16"):
        delta_rule(*inputs(9, False)[:5], chunk=24)
