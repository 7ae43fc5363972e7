"""The rotary embedding against Hugging Face, and its defining property."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_arch import ArchError, RoPE, rope
from transformers import Qwen3Config
from transformers.models.qwen3.modeling_qwen3 import Qwen3RotaryEmbedding, apply_rotary_pos_emb


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(("d_head", "theta"), [(96, 10_000.0), (2, 500.0), (6, 1e6)])
def test_rope_is_exactly_hugging_faces(d_head, theta, dtype):
    positions = torch.tensor([[0, 1, 7, 4095], [3, 2, 900, 31_000]])
    x = torch.randn(2, 3, 4, d_head, generator=torch.Generator().manual_seed(0)).to(dtype)
    config = Qwen3Config(head_dim=d_head, rope_parameters={"rope_type": "default", "rope_theta": theta})
    cos, sin = Qwen3RotaryEmbedding(config)(x, positions)
    expected, _ = apply_rotary_pos_emb(x, x, cos, sin)
    assert torch.equal(rope(x, positions[:, None], theta), expected)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 500), st.integers(0, 500), st.integers(0, 3000), st.integers(1, 20))
def test_rope_is_relative(first, second, shift, half):
    q, k = torch.randn(2, 1, 2 * half, dtype=torch.float64, generator=torch.Generator().manual_seed(half))

    def score(i, j):
        return float((rope(q, torch.tensor([i])) * rope(k, torch.tensor([j]))).sum())

    # Angles are float32: at position 3500 each is off by up to 3500 * 6e-8 = 2e-4, twice, times |q| |k|.
    bound = 1e-3 * float(q.norm() * k.norm()) + 1e-9
    assert abs(score(first, second) - score(first + shift, second + shift)) < bound


def test_rope_keeps_lengths_and_does_nothing_at_zero():
    x = torch.randn(5, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(rope(x, torch.arange(5)).norm(dim=-1), x.norm(dim=-1), rtol=1e-6, atol=0)
    assert torch.equal(rope(x, torch.zeros(5, dtype=torch.long)), x)


def test_rope_refuses_odd_heads_and_a_theta_that_is_not_positive():
    with pytest.raises(ArchError, match="d_head=7 must be even"):
        rope(torch.zeros(1, 7), torch.zeros(1, dtype=torch.long))
    with pytest.raises(ArchError, match="theta=0"):
        RoPE(0)


def test_rope_of_an_empty_sequence_is_empty():
    assert rope(torch.zeros(2, 0, 8), torch.zeros(0, dtype=torch.long)).shape == (2, 0, 8)
