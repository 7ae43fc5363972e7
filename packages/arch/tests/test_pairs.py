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
    Copies,
    Decoder,
    DifferentialAttention,
    DynamicCache,
    DyT,
    HyperConnections,
    Initialization,
    KeepValue,
    Layer,
    LayerNorm,
    LearnedPositions,
    LinearScaling,
    Llama3Scaling,
    ManifoldHyperConnections,
    MoE,
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


def covering_array():
    """Rows of one value a factor in which every pair of values of two factors occurs; greedy, from a fixed seed."""
    names, rng = list(FACTORS), random.Random(0)
    open_pairs = {
        ((a, i), (b, j))
        for a, b in itertools.combinations(names, 2)
        for i in range(len(FACTORS[a]))
        for j in range(len(FACTORS[b]))
    }
    rows = []
    while open_pairs:
        candidates = []
        for _ in range(30):
            first = rng.choice(sorted(open_pairs))
            row = {name: rng.randrange(len(FACTORS[name])) for name in names} | dict(first)
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
    feed_forward, norm, placement = part["feed_forward"], part["norm"], part["placement"]
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


ROWS = covering_array()


def test_covering_array_covers_every_pair():
    met = {pair for row in ROWS for pair in itertools.combinations(zip(FACTORS, row, strict=True), 2)}
    wanted = sum(len(a) * len(b) for a, b in itertools.combinations(FACTORS.values(), 2))
    assert len(met) == wanted


@pytest.mark.parametrize("row", ROWS, ids=lambda row: "".join(map(str, row)))
def test_composed_model_keeps_its_promises(row, kept_a_token):
    check_promises(decoder_of(row), kept_a_token)


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

        cache = DynamicCache()
        parts = [slice(0, 4), slice(4, 5), slice(5, LENGTH)]
        cached = torch.cat([model(tokens[:, part], positions[:, part], cache) for part in parts], 1)
        torch.testing.assert_close(cached, logits, rtol=1e-5, atol=1e-5)

        again = spec.build_empty()
        again.load_state_dict(model.state_dict())
        assert torch.equal(again(tokens), logits)

    embedded = []
    handle = model.embedding.register_forward_hook(lambda module, inputs, output: embedded.append(output))
    past = model(tokens)[:, :6].square().sum()
    handle.remove()
    (gradient,) = torch.autograd.grad(past, embedded)
    assert gradient[:, :6].abs().sum() > 0
    assert gradient[:, 6:].eq(0).all()  # causal, exactly

    cost = spec.cost(LENGTH)
    assert cost.parameters == sum(parameter.numel() for parameter in model.parameters())
    scalars = 1 if "MoE(" in str(spec.layers[0]) else 0  # of the activation of each expert that is called at all
    assert cost.activation_elements == pytest.approx(kept_a_token(model, LENGTH, VOCAB), rel=0, abs=scalars)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(tokens)
    seen = cost.matmul_flops + attention_flops(spec)  # uncached, products with masked keys are made all the same
    assert counter.get_total_flops() == tokens.numel() * seen


def attention_flops(spec):
    """Of all layers, none skipped: 2 FLOPs for each head, key and channel of a key, and for each of a value."""
    layers = [layer.layer if isinstance(layer, Reinjected) else layer for layer in spec.layers]
    widths = [3 if isinstance(layer.mixer, DifferentialAttention) else 2 for layer in layers]  # of key and value
    return sum(
        2 * layer.mixer.num_heads * layer.mixer.d_head * width * LENGTH
        for layer, width in zip(layers, widths, strict=True)
    )


def test_gradients_reach_every_parameter():
    for row in ROWS[::5]:
        model = decoder_of(row).build()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        model(torch.randint(VOCAB, (2, LENGTH))).square().mean().backward()
        without = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
        assert not without, without
