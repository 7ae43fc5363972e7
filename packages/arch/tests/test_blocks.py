"""Attention, feed-forward blocks and activations against their formulas and Hugging Face."""

import math

import pytest
import torch
from octad_arch import (
    MLP,
    Attention,
    Context,
    RMSNorm,
    RoPE,
    SwiGLU,
    gelu,
    gelu_tanh,
    relu,
    relu_squared,
    rope,
    silu,
)
from transformers.activations import ACT2FN

X = torch.randn(2, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(silu, "silu"), (gelu, "gelu"), (gelu_tanh, "gelu_pytorch_tanh"), (relu, "relu"), (relu_squared, "relu2")],
)
def test_activation_equals_hugging_face(ours, theirs):
    torch.testing.assert_close(ours(X), ACT2FN[theirs](X))


@pytest.mark.parametrize("bias", [True, False])
def test_swiglu_and_mlp_equal_their_formulas(bias):
    gated, plain = SwiGLU(9, bias).build(6).double(), MLP(9, relu, bias).build(6).double()
    torch.testing.assert_close(gated(X), gated.down(gated.gate(X) / (1 + (-gated.gate(X)).exp()) * gated.up(X)))
    torch.testing.assert_close(plain(X), plain.down(plain.up(X).clamp(min=0)))


@pytest.mark.parametrize("is_causal", [True, False])
def test_attention_equals_a_loop_over_heads_and_positions(is_causal):
    spec = Attention(6, 2, 4, RoPE(50.0), RMSNorm(0.1), bias=True, output_bias=True, is_causal=is_causal)
    attention = spec.build(6).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    positions = torch.arange(5)[None]
    context = Context(
        positions, {key: key[0].rotation(positions[:, None], key[1], X.dtype) for key in spec.rotation_keys}
    )

    def head(linear, norm, index, row):
        vector = linear(X[row])[:, 4 * index : 4 * index + 4]
        return rope(norm(vector), torch.arange(5), 50.0)

    expected = torch.zeros(2, 5, 24, dtype=torch.float64)
    for row in range(2):
        for h in range(6):
            q = head(attention.query, attention.query_norm, h, row)
            k = head(attention.key, attention.key_norm, h // 3, row)
            v = attention.value(X[row])[:, 4 * (h // 3) : 4 * (h // 3) + 4]
            for i in range(5):
                seen = i + 1 if is_causal else 5
                weights = torch.softmax(k[:seen] @ q[i] / math.sqrt(4), 0)
                expected[row, i, 4 * h : 4 * h + 4] = weights @ v[:seen]
    torch.testing.assert_close(attention(X, context), attention.output(expected))
