"""Costs counted from a specification against what torch counts on the built model."""

import pytest
import torch
from octad_arch import (
    MLP,
    ArchError,
    Attention,
    Decoder,
    Layer,
    LayerNorm,
    PostNorm,
    RMSNorm,
    SandwichNorm,
    SwiGLU,
    llama_decoder,
    qwen3_decoder,
)
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


def test_cost_refuses_a_negative_context():
    with pytest.raises(ArchError, match="context_length=-1"):
        SPECS["llama"].cost(-1)
