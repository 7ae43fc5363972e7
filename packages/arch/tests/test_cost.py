"""Costs counted from a specification against what torch counts on the built model."""

import math
from dataclasses import replace

import pytest
import torch
from octad_arch import (
    MLP,
    ArchError,
    Attention,
    CompressedAttention,
    Compressor,
    Decoder,
    DifferentialAttention,
    EntryIndexer,
    GatedDeltaNet,
    Indexer,
    KimiDeltaAttention,
    LatentAttention,
    Layer,
    LayerNorm,
    LightningAttention,
    Mamba2,
    MultiToken,
    PostNorm,
    RMSNorm,
    SandwichNorm,
    SwiGLU,
    describe,
    llama_decoder,
    qwen3_decoder,
)
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

SPECS = {
    "qwen3": qwen3_decoder(67, 24, 3, 4, d_head=10, d_ff=20),
    "grouped": qwen3_decoder(67, 24, 3, 6, 2, d_head=10),
    "llama": llama_decoder(67, 24, 2, 4),
    "mixed": Decoder(
        50,
        20,
        (
            Layer(Attention(3, 3, 6, None, bias=True, output_bias=True), MLP(30, bias=True), LayerNorm(), PostNorm()),
            Layer(Attention(2, 2, 8, qk_norm=RMSNorm()), SwiGLU(8, True), RMSNorm(gain=False), SandwichNorm()),
        ),
        LayerNorm(bias=False),
        tied_embeddings=False,
    ),
    "empty": Decoder(10, 4, ()),
}


@pytest.mark.parametrize("spec", SPECS.values())
def test_cost_parameters_equal_the_built_models(spec):
    built = sum(parameter.numel() for parameter in spec.build().parameters())
    assert spec.cost().parameters == spec.cost().active_parameters == built


@pytest.mark.parametrize("name", SPECS)
def test_cost_flops_equal_torchs_counter(name):
    spec, batch, seq = SPECS[name], 2, 16
    model = spec.build()
    tokens = torch.zeros(batch, seq, dtype=torch.long)
    with FlopCounterMode(display=False) as forward:
        loss = model(tokens).sum()
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    cost = spec.cost(context_length=seq)
    assert cost.forward_flops * batch * seq == forward.get_total_flops()
    assert cost.backward_flops * batch * seq == backward.get_total_flops()


def test_cost_of_cache_is_what_the_layers_hand_over():
    handed = []

    class Counter:
        def attend(self, layer, q, k, v, positions):
            handed.append(k.numel() + v.numel())
            return q

    spec = qwen3_decoder(67, 24, 3, 6, 2, d_head=10)
    spec.build()(torch.zeros(1, 1, dtype=torch.long), positions=torch.zeros(1, 1, dtype=torch.long), cache=Counter())
    assert spec.cost().kv_bytes(element_bytes=2) == 2 * sum(handed)
    assert spec.cost().kv_bytes(0.5) == sum(handed) / 2


MIXERS = {
    "lightning": LightningAttention(4, 10),
    "gated delta": GatedDeltaNet(4, 2, 6, 5),
    "gated delta, key heads for all": GatedDeltaNet(3, 3, 7, 9, negative=True),
    "kimi delta": KimiDeltaAttention(3, 11),
    "mamba": Mamba2(6, 8, 5),
    "mamba, groups": Mamba2(6, 8, 5, groups=2, bias=True, steps=(0.01, 0.5)),
    "latent": LatentAttention(4, 12, 8, 6, 10),
    "latent, fused": LatentAttention(4, 12, 8, 6, 14, 14, position=None),
    "latent, indexed": LatentAttention(4, 12, 8, 6, 14, 14, indexer=Indexer(3, 8, 4)),
    "differential": DifferentialAttention(4, 2, 10),
    "compressed": CompressedAttention(4, 12, 6, 10, 3, 2, 5, compressor=Compressor(3, 6)),
    "compressed, indexed": CompressedAttention(
        4, 12, 6, 10, 3, 2, 5, compressor=Compressor(2, 6, True), indexer=EntryIndexer(5, 8, 2, Compressor(2, 6, True))
    ),
}


@pytest.mark.parametrize("length", [16, 64, 65, 192])
@pytest.mark.parametrize("mixer", MIXERS.values(), ids=MIXERS)
def test_cost_of_activations_is_what_autograd_keeps(mixer, length, kept_a_token):
    """Within a chunk, at its end, beyond it, over three."""
    spec = Decoder(31, 24, (Layer(mixer, SwiGLU(20)),) * 2)
    kept = kept_a_token(spec.build(), length, 31)
    assert spec.cost(length).activation_elements == pytest.approx(kept, abs=1e-9)


@pytest.mark.parametrize("name", SPECS)
def test_cost_of_checkpoints_is_what_autograd_keeps_then(name, kept_a_token):
    spec, length = SPECS[name], 16
    model = spec.build()

    def through(tokens):
        x, context = model.enter(tokens)
        for layer in model.layers:
            x = checkpoint(layer, x, context, use_reentrant=False)
        return model.leave(x)

    cost = spec.cost(length)
    assert cost.activation_elements == kept_a_token(model, length, spec.vocab_size)
    assert cost.checkpoint_elements == kept_a_token(model, length, spec.vocab_size, through)
    assert cost.activation_bytes(4) == 4 * cost.activation_elements
    assert cost.activation_bytes(checkpointed=True) == 2 * cost.checkpoint_elements


def test_cost_of_activations_of_any_function_and_of_what_is_uncounted(kept_a_token):
    def cubed(x):
        return x * x * torch.sin(x)

    spec = Decoder(31, 24, (Layer(Attention(4, 2, 10), MLP(20, cubed)),))
    assert spec.cost(16).activation_elements == kept_a_token(spec.build(), 16, 31)
    uncounted = MultiToken(spec, spec.layers[0], 1)
    assert math.isnan(uncounted.cost().activation_elements)
    assert uncounted.cost().parameters > 0


def test_describe_tells_activations():
    spec = SPECS["qwen3"]
    cost, text = spec.cost(16), describe(spec, 16)
    assert f"{cost.activation_bytes():,.0f} bytes of 16-bit activations a token" in text
    assert f"{cost.activation_bytes(checkpointed=True):,.0f} bytes where each layer keeps its input alone" in text
    longer = replace(spec, layers=spec.layers * 2)
    assert longer.cost(16).checkpoint_elements == cost.checkpoint_elements + 3 * spec.d_model


def test_cost_refuses_a_negative_context():
    with pytest.raises(ArchError, match="context_length=-1"):
        SPECS["llama"].cost(-1)
