"""A covering array: every two values of two kinds of part meet in some model, and each model keeps its promises."""

import itertools
import random
from dataclasses import replace

import pytest
import torch
from octad_arch import (
    MLP,
    XIELU,
    ALiBi,
    AllHeads,
    Attention,
    CompressedAttention,
    Compressor,
    Copies,
    Decoder,
    DifferentialAttention,
    DynamicCache,
    DyT,
    GatedDeltaNet,
    HyperConnections,
    Initialization,
    KeepValue,
    KimiDeltaAttention,
    LatentAttention,
    Layer,
    LayerNorm,
    LearnedPositions,
    LightningAttention,
    LinearScaling,
    Llama3Scaling,
    Mamba2,
    ManifoldHyperConnections,
    MoE,
    NormedStream,
    OffsetRMSNorm,
    ParallelLayer,
    PostNorm,
    PreNorm,
    Reinjected,
    ReorderedNorm,
    RMSNorm,
    RoPE,
    SandwichNorm,
    Scaled,
    SigmoidRouter,
    SoftmaxRouter,
    SwiGLU,
    ValueResidual,
    YaRN,
    gelu_tanh,
    relu,
    relu_squared,
    sigmoid,
)
from octad_arch.variants.linear_attention import CHUNK
from torch.utils.flop_counter import FlopCounterMode

D_MODEL, VOCAB, LENGTH = 24, 31, 11
FACTORS = {
    "heads": ((4, 4), (4, 2), (3, 1)),
    "attention": (
        {},
        {"window": 3},
        {"sinks": True},
        {"softcap": 2.0, "scale": 0.4},
        {"gate": True, "bias": True},
        {"window": 4, "sinks": True, "softcap": 3.0, "output_bias": True},
    ),
    "position": (
        RoPE(100.0),
        RoPE(channels=4, neighbours=True),
        RoPE(scaling=YaRN(4.0, 8)),
        RoPE(scaling=Llama3Scaling(4.0, original_context=8)),
        RoPE(scaling=LinearScaling(2.0)),
        None,
        ALiBi(),
        LearnedPositions(16),
    ),
    "qk_norm": (None, RMSNorm(), AllHeads(RMSNorm()), OffsetRMSNorm()),
    "norm": (RMSNorm(), RMSNorm(gain=False), LayerNorm(), OffsetRMSNorm(), DyT()),
    "placement": (
        PreNorm(),
        PostNorm(),
        SandwichNorm(),
        ReorderedNorm(),
        Scaled(PreNorm(), 0.5),
        HyperConnections(2),
        HyperConnections(3, is_dynamic=False),
        ManifoldHyperConnections(2),
        "shared",
        "parallel",
    ),
    "residual": ("plain", "lambdas", "values"),
    "feed_forward": (
        SwiGLU(20),
        SwiGLU(20, True, gelu_tanh),
        MLP(20),
        MLP(20, relu_squared, True),
        MLP(20, XIELU()),
        SwiGLU(20, True, XIELU(1.1, 0.7)),
        SwiGLU(20, activation=relu),
        SwiGLU(20, activation=sigmoid),
        MoE(5, 12, SoftmaxRouter(2), XIELU()),
        MoE(5, 12, SoftmaxRouter(2)),
        MoE(6, 12, SigmoidRouter(3, groups=3, kept_groups=2), shared=SwiGLU(8), shared_gate=True),
    ),
    "head": ({}, {"tied_embeddings": False, "head_bias": True}, {"logit_softcap": 4.0, "logit_scale": 0.5}),
}


TURN = RoPE(100.0, neighbours=True)
MIXERS = {
    "mixer": (
        LatentAttention(4, 12, 6, 4, 10, position=TURN),
        LatentAttention(3, 9, 6, 4, 10, 14, TURN, bias=True, output_bias=True),
        LatentAttention(2, 12, 6, 4, 7, position=None, scale=0.4),
        CompressedAttention(4, 12, 6, 10, 3, 2, 5, TURN, compressor=Compressor(2, 6, True, TURN)),
        DifferentialAttention(4, 2, 8),
        GatedDeltaNet(4, 2, 6, 5),
        GatedDeltaNet(2, 2, 7, 4, width=3, negative=True),
        KimiDeltaAttention(3, 7),
        Mamba2(6, 8, 5, groups=2),
        Mamba2(2, 8, 5, bias=True, convolution_bias=False, steps=(0.01, 0.4)),
        LightningAttention(4, 6),
        LightningAttention(3, 7, 0.3, relu, LayerNorm()),
    ),
    "second": ("the same", Attention(4, 2, 8, window=4), KimiDeltaAttention(2, 6), LatentAttention(2, 9, 6, 4, 10)),
    "position": (None, LearnedPositions(16)),
    "norm": FACTORS["norm"],
    "placement": (*FACTORS["placement"], NormedStream(0.7, 1.3)),
    "residual": ("plain", "lambdas"),
    "feed_forward": FACTORS["feed_forward"],
    "head": FACTORS["head"],
}
"""Mixers beyond softmax attention over keys and values: what the parts of `FACTORS` that concern it do not fit."""


def covering_array(factors):
    """Rows of one value a factor in which every pair of values of two factors occurs; greedy, from a fixed seed."""
    names, rng = list(factors), random.Random(0)
    open_pairs = {
        ((a, i), (b, j))
        for a, b in itertools.combinations(names, 2)
        for i in range(len(factors[a]))
        for j in range(len(factors[b]))
    }
    rows = []
    while open_pairs:
        candidates = []
        for _ in range(30):
            first = rng.choice(sorted(open_pairs))
            row = {name: rng.randrange(len(factors[name])) for name in names} | dict(first)
            candidates.append((sum(pair in open_pairs for pair in itertools.combinations(row.items(), 2)), row))
        best = max(candidates, key=lambda candidate: candidate[0])[1]
        open_pairs -= set(itertools.combinations(best.items(), 2))
        rows.append(tuple(best[name] for name in names))
    return rows


def decoder_of(row):
    part = {name: FACTORS[name][index] for name, index in zip(FACTORS, row, strict=True)}
    num_heads, num_kv_heads = part["heads"]
    position = part["position"]
    mixer = Attention(
        num_heads,
        num_kv_heads,
        8,
        position if isinstance(position, RoPE) else None,
        part["qk_norm"],
        position_bias=position if isinstance(position, ALiBi) else None,
        **part["attention"],
    )
    mixers = [mixer, mixer]
    if part["residual"] == "values":
        mixers = [replace(mixer, value_mix=KeepValue()), replace(mixer, value_mix=ValueResidual(0.6, 0.7))]
    return decoder_with(mixers, part)


def hybrid_of(row):
    part = {name: MIXERS[name][index] for name, index in zip(MIXERS, row, strict=True)}
    first, second = part["mixer"], part["second"]
    return decoder_with([first, first if second == "the same" else second], part)


def decoder_with(mixers, part):
    feed_forward, norm, placement, position = (part[name] for name in ("feed_forward", "norm", "placement", "position"))
    if isinstance(placement, str):
        layers = [ParallelLayer(each, feed_forward, norm, placement == "shared") for each in mixers]
    else:
        layers = [Layer(each, feed_forward, norm, placement) for each in mixers]
    copies = layers[0].copies if isinstance(layers[0], Layer) else 1
    if part["residual"] == "lambdas":
        layers = [Reinjected(layer) for layer in layers]
    return Decoder(
        VOCAB,
        D_MODEL,
        tuple(layers),
        norm,
        initialization=Initialization(0.3),
        context_length=16,
        position=position if isinstance(position, LearnedPositions) else None,
        stream=Copies(copies) if copies > 1 else None,
        **part["head"],
    )


ROWS, HYBRIDS = covering_array(FACTORS), covering_array(MIXERS)


@pytest.mark.parametrize(("factors", "rows"), [(FACTORS, ROWS), (MIXERS, HYBRIDS)])
def test_covering_array_covers_every_pair(factors, rows):
    met = {pair for row in rows for pair in itertools.combinations(zip(factors, row, strict=True), 2)}
    wanted = sum(len(a) * len(b) for a, b in itertools.combinations(factors.values(), 2))
    assert len(met) == wanted


@pytest.mark.parametrize("row", ROWS, ids=lambda row: "".join(map(str, row)))
def test_composed_model_keeps_its_promises(row, kept_a_token):
    check_promises(decoder_of(row), kept_a_token)


@pytest.mark.parametrize("row", HYBRIDS, ids=lambda row: "".join(map(str, row)))
def test_composed_hybrid_keeps_its_promises(row, kept_a_token):
    check_promises(hybrid_of(row), kept_a_token)


DIFFERENTIAL = list(itertools.product(FACTORS["placement"], ((4, 4), (8, 2))))


@pytest.mark.parametrize("index", range(len(DIFFERENTIAL)))
def test_differential_attention_keeps_its_promises_at_every_place(index, kept_a_token):
    """With the forms of the other parts that it knows in turn."""
    (placement, heads), turn = DIFFERENTIAL[index], index // 2
    positions = [position for position in FACTORS["position"] if position is None or isinstance(position, RoPE)]
    position, bias = positions[turn % len(positions)], turn % 2 == 1
    mixer = DifferentialAttention(*heads, 8, position, bias)
    feed_forward, norm = (FACTORS[name][turn % len(FACTORS[name])] for name in ("feed_forward", "norm"))
    if isinstance(placement, str):
        layer = ParallelLayer(mixer, feed_forward, norm, placement == "shared")
    else:
        layer = Layer(mixer, feed_forward, norm, placement)
    copies = getattr(layer, "copies", 1)
    layers = (Reinjected(layer),) * 2 if turn % 3 == 1 else (layer, layer)
    stream = Copies(copies) if copies > 1 else None
    spec = Decoder(VOCAB, D_MODEL, layers, norm, initialization=Initialization(0.3), stream=stream)
    check_promises(spec, kept_a_token)


def check_promises(spec, kept_a_token):
    generator = torch.Generator().manual_seed(7)
    model = spec.build(generator=generator)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    tokens = torch.randint(VOCAB, (3, LENGTH), generator=generator)
    positions = torch.arange(LENGTH).expand_as(tokens)
    with torch.no_grad():
        logits = model(tokens)
        assert logits.isfinite().all()

        changed = tokens.clone()
        changed[:, 6:] = (changed[:, 6:] + 1) % VOCAB
        # Experts get other tokens beside those of the past then, and products of another size round otherwise.
        rounding = 1e-5 if "MoE(" in str(spec.layers[0]) else 0
        torch.testing.assert_close(model(changed)[:, :6], logits[:, :6], rtol=rounding, atol=rounding)

        torch.testing.assert_close(model(tokens[1:2]), logits[1:2], rtol=1e-5, atol=1e-5)  # whatever the batch

        again = spec.build_empty()
        again.load_state_dict(model.state_dict())
        assert torch.equal(again(tokens), logits)

        # Wide, since a state that is written step by step is rounded otherwise than one written in chunks.
        wide, cache = again.double(), DynamicCache()
        parts = [slice(0, 4), slice(4, 5), slice(5, LENGTH)]
        cached = torch.cat([wide(tokens[:, part], positions[:, part], cache) for part in parts], 1)
        torch.testing.assert_close(cached, wide(tokens), rtol=1e-9, atol=1e-9)

    embedded = []
    handle = model.embedding.register_forward_hook(lambda module, inputs, output: embedded.append(output))
    past = model(tokens)[:, :6].square().sum()
    handle.remove()
    (gradient,) = torch.autograd.grad(past, embedded)
    assert gradient[:, :6].abs().sum() > 0
    assert gradient[:, 6:].eq(0).all()  # causal, exactly

    cost = spec.cost(LENGTH)
    assert cost.parameters == sum(parameter.numel() for parameter in model.parameters())
    scalars = 1 if "MoE(" in str(spec.layers[0]) else 1e-9  # of the activation of each expert that is called at all
    assert cost.activation_elements == pytest.approx(kept_a_token(model, LENGTH, VOCAB), rel=0, abs=scalars)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(tokens)
    seen = cost.matmul_flops + attention_flops(spec)  # uncached, products with masked keys are made all the same
    assert counter.get_total_flops() == pytest.approx(tokens.numel() * seen, rel=1e-12)


def attention_flops(spec):
    """Of all layers, a token's share of the products of a row: those with masked keys, or those of whole chunks."""
    layers = [layer.layer if isinstance(layer, Reinjected) else layer for layer in spec.layers]
    return sum(flops_of_mixer(layer.mixer) for layer in layers)


def flops_of_mixer(mixer):
    """2 FLOPs for each head, key and channel of a key, and for each of a value; none skipped."""
    match mixer:
        case LatentAttention():
            return 2 * mixer.num_heads * (mixer.d_nope + mixer.d_rope + mixer.d_value) * LENGTH
        case CompressedAttention():
            return 4 * mixer.num_heads * mixer.d_head * (LENGTH + LENGTH // mixer.compressor.rate)
        case DifferentialAttention():
            return 6 * mixer.num_heads * mixer.d_head * LENGTH
        case Attention():
            return 4 * mixer.num_heads * mixer.d_head * LENGTH
        case LightningAttention():
            return 2 * filled(mixer.num_heads * (CHUNK * 2 * mixer.d_head + 2 * mixer.d_head**2))
        case Mamba2():
            state = mixer.num_heads * mixer.d_head * mixer.d_state
            within = CHUNK * (mixer.groups * mixer.d_state + mixer.num_heads * mixer.d_head)
            return 2 * filled(within + 2 * state)
        case GatedDeltaNet():
            within, state = CHUNK * (3 * mixer.d_key + 2 * mixer.d_value), 3 * mixer.d_key * mixer.d_value
            return 2 * filled(mixer.num_heads * (within + state))
        case KimiDeltaAttention():  # and the products within blocks of 16, once more
            within, state = (5 * CHUNK + 2 * 16) * mixer.d_head, 3 * mixer.d_head**2
            return 2 * filled(mixer.num_heads * (within + state))


def filled(products):
    """Of the tokens of one chunk, which is longer than the row, for each token of the row."""
    return products * CHUNK / LENGTH


def test_gradients_reach_every_parameter():
    for spec in [decoder_of(row) for row in ROWS[::5]] + [hybrid_of(row) for row in HYBRIDS[::5]]:
        model = spec.build()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        model(torch.randint(VOCAB, (2, LENGTH))).square().mean().backward()
        without = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
        assert not without, without
