"""The decoder: its cache seam, its placements, its initial weights, its compiled layers."""

import math
import subprocess
import sys
from dataclasses import dataclass, field, replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_arch import (
    MLP,
    ArchError,
    Attention,
    Decoder,
    Initialization,
    Layer,
    LayerNorm,
    PostNorm,
    PreNorm,
    RMSNorm,
    RoPE,
    SandwichNorm,
    SwiGLU,
    describe,
    gelu_tanh,
    llama_decoder,
    qwen3_decoder,
    relu_squared,
)


@dataclass
class ConcatenatingCache:
    """The plainest keeper of the past: everything it was given, in order."""

    past: dict = field(default_factory=dict)

    def attend(self, layer, q, k, v, positions):
        at = torch.where(positions < 0, torch.iinfo(torch.long).max, positions)  # padding lies in everyone's future
        if layer in self.past:
            old_k, old_v, old_at = self.past[layer]
            k, v, at = torch.cat((old_k, k), 2), torch.cat((old_v, v), 2), torch.cat((old_at, at), 1)
        self.past[layer] = k, v, at
        mask = at[:, None, None, :] <= positions[:, None, :, None]
        group = q.shape[1] // k.shape[1]
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).nan_to_num()


def randomised(spec, seed=0, dtype=torch.float64):
    """The model with every parameter drawn, gains and offsets too, so that a forgotten one would be seen."""
    model = spec.build(dtype=dtype)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator) + (parameter.ndim == 1))
    return model


def tokens_of(batch, seq, vocab_size=61, seed=0):
    return torch.randint(vocab_size, (batch, seq), generator=torch.Generator().manual_seed(seed))


def mixed_spec():
    """Layers that all differ: grouping, position, offsets, norm, feed-forward block and placement."""
    return Decoder(
        61,
        20,
        (
            Layer(Attention(6, 2, 10, RoPE(100.0), RMSNorm()), SwiGLU(24)),
            Layer(
                Attention(3, 3, 6, RoPE(5000.0), bias=True), MLP(30, relu_squared, bias=True), LayerNorm(), PostNorm()
            ),
            Layer(
                Attention(7, 1, 4, None, output_bias=True),
                SwiGLU(8, True, gelu_tanh),
                RMSNorm(1e-3, gain=False),
                SandwichNorm(),
            ),
        ),
        LayerNorm(bias=False),
        tied_embeddings=False,
    )


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=5), st.integers(1, 3))
def test_decoder_with_a_cache_equals_without_for_any_split(chunks, batch):
    model = randomised(mixed_spec())
    tokens = tokens_of(batch, sum(chunks))
    cache, start, parts = ConcatenatingCache(), 0, []
    for size in chunks:
        positions = torch.arange(start, start + size).expand(batch, -1)
        parts.append(model(tokens[:, start : start + size], positions=positions, cache=cache))
        start += size
    # float64, another order of summation
    torch.testing.assert_close(torch.cat(parts, 1), model(tokens), atol=1e-10, rtol=1e-9)


def test_decoder_with_a_cache_ignores_padding_on_the_left():
    model = randomised(mixed_spec())
    tokens = tokens_of(2, 7)
    positions = torch.tensor([[-1, -1, 0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 5, 6]])
    logits = model(tokens, positions=positions, cache=ConcatenatingCache())
    torch.testing.assert_close(logits[:1, 2:], model(tokens[:1, 2:]), atol=1e-10, rtol=1e-9)
    torch.testing.assert_close(logits[1:], model(tokens[1:]), atol=1e-10, rtol=1e-9)


def test_decoder_is_causal():
    model = randomised(mixed_spec())
    tokens = tokens_of(1, 9)
    changed = tokens.clone()
    changed[0, 5] = (changed[0, 5] + 1) % 61
    before, after = model(tokens), model(changed)
    assert torch.equal(before[:, :5], after[:, :5])
    assert not torch.isclose(before[:, 5:], after[:, 5:]).all(-1).any()


def test_attention_that_is_not_causal_sees_the_future_and_refuses_a_cache():
    layer = Layer(Attention(2, 2, 4, is_causal=False), SwiGLU(8))
    model = randomised(Decoder(61, 8, (layer,)))
    tokens = tokens_of(1, 4)
    changed = torch.cat((tokens[:, :3], (tokens[:, 3:] + 1) % 61), 1)
    assert not torch.isclose(model(tokens)[:, 0], model(changed)[:, 0]).all()
    with pytest.raises(ArchError, match="is_causal=False cannot run on a cache"):
        model(tokens, positions=torch.arange(4), cache=ConcatenatingCache())


def test_decoder_positions_only_count_by_their_differences():
    model = randomised(qwen3_decoder(61, 12, 2, 3, 1, d_head=4, d_ff=16))
    tokens = tokens_of(2, 6)
    shifted = model(tokens, positions=torch.arange(6) + 100)
    torch.testing.assert_close(shifted, model(tokens), atol=1e-4, rtol=1e-3)  # float32 angles
    skipping = model(tokens, positions=torch.tensor([0, 1, 2, 9, 10, 11]))
    torch.testing.assert_close(skipping[:, :3], model(tokens)[:, :3], atol=1e-10, rtol=1e-9)
    assert not torch.isclose(skipping[:, 3:], model(tokens)[:, 3:]).all()


@pytest.mark.parametrize("placement", [PreNorm(), PostNorm(), SandwichNorm()])
def test_placement_puts_the_norms_where_its_formula_says(placement):
    norm, block = RMSNorm(0.1), torch.nn.Linear(6, 6).double()
    residual = placement.build(block, norm, 6).double()
    x = torch.randn(3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def normalise(y):
        return y / (y.square().mean(-1, keepdim=True) + 0.1).sqrt()

    expected = {
        PreNorm(): lambda: x + block(normalise(x)),
        PostNorm(): lambda: normalise(x + block(x)),
        SandwichNorm(): lambda: x + normalise(block(normalise(x))),
    }[placement]()
    torch.testing.assert_close(residual(x), expected)


def test_decoder_logits_are_the_hidden_states_times_the_output_weight():
    for tied in (True, False):
        model = randomised(replace(mixed_spec(), tied_embeddings=tied))
        tokens = tokens_of(2, 5)
        assert model.output_weight.shape == (61, 20)
        assert (model.output_weight is model.embedding.weight) == tied
        torch.testing.assert_close(model(tokens), model.hidden(tokens) @ model.output_weight.T)


@pytest.mark.parametrize(("batch", "seq"), [(0, 3), (2, 0), (1, 1)])
def test_decoder_accepts_empty_and_single_inputs(batch, seq):
    assert mixed_spec().build()(torch.zeros(batch, seq, dtype=torch.long)).shape == (batch, seq, 61)


def test_decoder_without_layers_is_a_bigram_model():
    model = randomised(Decoder(61, 20, ()))
    tokens = torch.tensor([[3, 9, 3]])
    logits = model(tokens)
    assert torch.equal(logits[0, 0], logits[0, 2])


def test_decoder_initial_weights_come_from_the_generator_alone():
    spec = mixed_spec()
    before = torch.random.get_rng_state()
    first, again = (spec.build(generator=torch.Generator().manual_seed(5)) for _ in range(2))
    other, narrow = spec.build(), spec.build(dtype=torch.bfloat16, generator=torch.Generator().manual_seed(5))
    assert torch.equal(before, torch.random.get_rng_state())
    for name, parameter in first.named_parameters():
        assert torch.equal(parameter, again.get_parameter(name)), name
        assert torch.equal(parameter.bfloat16(), narrow.get_parameter(name)), name
    assert not torch.equal(first.embedding.weight, other.embedding.weight)


def test_decoder_initial_weights_have_the_documented_sizes():
    model = replace(qwen3_decoder(300, 128, 8, 4), initialization=Initialization(0.05)).build()
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            assert torch.equal(parameter, torch.ones_like(parameter)), name
            continue
        writes_to_stream = name.endswith(("output.weight", "down.weight"))
        expected = 0.05 / (math.sqrt(2 * 8) if writes_to_stream else 1)
        assert float(parameter.detach().std()) == pytest.approx(expected, rel=0.03), (
            name
        )  # 16,000 draws: 4 sigma is 2.3 %


def test_decoder_refuses_to_leave_a_foreign_module_unfilled():
    @dataclass(frozen=True)
    class Scale:
        def build(self, d_model):
            module = torch.nn.Module()
            module.factor = torch.nn.Parameter(torch.ones(d_model))
            return module

    with pytest.raises(ArchError, match=r"no rule fills the parameters of layers\.0\.feed_forward\.block"):
        Decoder(5, 4, (Layer(Attention(1, 1, 4), Scale()),)).build()


def test_decoder_takes_layers_of_kinds_it_does_not_know():
    @dataclass(frozen=True)
    class ParallelLayer:
        """x + mixer(norm(x)) + feed_forward(norm(x)), as GPT-J and PaLM have it."""

        mixer: Attention
        feed_forward: MLP

        def build(self, d_model, layer):
            class Module(torch.nn.Module):
                def forward(self, x, context):
                    y = self.norm(x)
                    return x + self.mixer(y, context) + self.feed_forward(y)

            module = Module()
            module.norm = RMSNorm().build(d_model)
            module.mixer = self.mixer.build(d_model, layer)
            module.feed_forward = self.feed_forward.build(d_model)
            return module

        @property
        def rotation_keys(self):
            return self.mixer.rotation_keys

        def cost(self, d_model, context_length):
            return self.mixer.cost(d_model, context_length) + self.feed_forward.cost(d_model) + RMSNorm().cost(d_model)

    spec = Decoder(61, 20, (ParallelLayer(Attention(2, 1, 6), MLP(7)), Layer(Attention(2, 2, 4), MLP(5))))
    model, tokens = randomised(spec), tokens_of(2, 6)
    assert spec.cost().parameters == sum(parameter.numel() for parameter in model.parameters())
    cached = model(tokens, positions=torch.arange(6), cache=ConcatenatingCache())
    torch.testing.assert_close(cached, model(tokens), atol=1e-10, rtol=1e-9)


def test_decoder_specification_is_a_value():
    assert mixed_spec() == mixed_spec()
    assert hash(mixed_spec()) == hash(mixed_spec())
    assert replace(mixed_spec(), d_model=24) != mixed_spec()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: qwen3_decoder(10, 100, 1, 12), r"num_heads=12 does not divide d_model=100; use d_model=96 or 108"),
        (lambda: Attention(6, 4, 8), r"num_kv_heads=4 does not divide num_heads=6; use one of 1, 2, 3, 6"),
        (lambda: Attention(6, 6, 7), r"d_head=7 must be even"),
        (lambda: SwiGLU(0), "d_ff=0"),
        (lambda: MLP(-1), "d_ff=-1"),
        (lambda: Decoder(0, 4, ()), "vocab_size=0"),
        (lambda: Decoder(4, 4, []), "use a tuple"),
        (lambda: Initialization(0.0), "std=0.0"),
        (lambda: llama_decoder(10, 8, -1, 2), "num_layers=-1"),
    ],
)
def test_specification_refuses_what_does_not_fit(make, message):
    with pytest.raises(ArchError, match=message):
        make()


@pytest.mark.parametrize(
    ("tokens", "arguments", "message"),
    [
        (torch.zeros(3, dtype=torch.long), {}, r"tokens has shape \(3,\)"),
        (torch.zeros(1, 3), {}, "float32"),
        (torch.zeros(1, 3, dtype=torch.long), {"cache": ConcatenatingCache()}, "a cache needs positions"),
        (torch.zeros(2, 3, dtype=torch.long), {"positions": torch.zeros(2, 4, dtype=torch.long)}, r"\(2, 4\)"),
    ],
)
def test_decoder_refuses_inputs_of_another_shape(tokens, arguments, message):
    with pytest.raises(ArchError, match=message):
        mixed_spec().build()(tokens, **arguments)


def test_decoder_takes_non_contiguous_tokens():
    model = randomised(mixed_spec())
    tokens = tokens_of(6, 4).T
    assert torch.equal(model(tokens), model(tokens.contiguous()))


def test_decoder_runs_in_bfloat16():
    spec = qwen3_decoder(61, 16, 2, 4, 2)
    narrow, wide = randomised(spec, dtype=torch.bfloat16), randomised(spec, dtype=torch.float32)
    logits = narrow(tokens_of(2, 5))
    assert logits.dtype == torch.bfloat16
    correlation = torch.corrcoef(torch.stack((logits.float().flatten(), wide(tokens_of(2, 5)).flatten())))[0, 1]
    assert correlation > 0.99


def test_describe_shows_every_part_and_its_cost():
    text = describe(mixed_spec(), context_length=64)
    assert f"{sum(p.numel() for p in mixed_spec().build().parameters()):,} parameters" in text
    for part in (
        "Attention(num_heads=6",
        "MLP(d_ff=30",
        "SandwichNorm()",
        "embedding (61, 20)",
        "query.weight (60, 20)",
        "activation=gelu_tanh",
        "context of 64",
    ):
        assert part in text
    assert "layers 0-3, each" in describe(qwen3_decoder(10, 8, 4, 2))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # raised and meant to be hidden inside torch
def test_decoder_with_compiled_layers_gives_the_same_loss_and_gradients():
    spec = qwen3_decoder(61, 16, 3, 4, 2)
    plain, compiled = randomised(spec, dtype=torch.float32), randomised(spec, dtype=torch.float32)
    compiled.compile_layers()
    for model in (plain, compiled):
        model(tokens_of(2, 8)).square().mean().backward()
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(compiled.get_parameter(name).grad, parameter.grad, atol=1e-4, rtol=1e-4)


def test_building_needs_no_more_of_torch_than_it_has_imported():
    """A normal draw on "meta" imported sympy and 900 other modules, for 3 seconds."""
    code = (
        "import sys, octad_arch as a\n"
        "before = set(sys.modules)\n"
        "spec = a.qwen3_decoder(64, 16, 2, 2)\n"
        "spec.build(); spec.build_empty('meta'); a.describe(spec)\n"
        "print(*sorted(set(sys.modules) - before))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    new = done.stdout.split()
    assert "sympy" not in new and len(new) < 20, new
