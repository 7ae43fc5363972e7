"""The norms against Hugging Face and torch."""

import pytest
import torch
from octad_arch import ArchError, LayerNorm, RMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm


@pytest.mark.parametrize("reference", [LlamaRMSNorm, Qwen3RMSNorm])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 0.0), (torch.float16, 0.0)])
def test_rms_norm_equals_hugging_face(reference, dtype, tolerance):
    # float32: the order of a sum differs. Narrow types: the same float32 result, rounded at the same two places.
    generator = torch.Generator().manual_seed(1)
    x = (3 * torch.randn(4, 5, 37, generator=generator)).to(dtype)
    theirs = reference(37, eps=1e-4).to(dtype)
    ours = RMSNorm(1e-4).build(37).to(dtype)
    gain = torch.randn(37, generator=generator)
    with torch.no_grad():
        theirs.weight.copy_(gain)
        ours.weight.copy_(gain)
    torch.testing.assert_close(ours(x), theirs(x), atol=tolerance, rtol=tolerance)
    assert ours(x).dtype == dtype


def test_rms_norm_equals_its_formula_in_float64():
    x = torch.randn(3, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    expected = x / (x.square().mean(-1, keepdim=True) + 1e-2).sqrt()
    torch.testing.assert_close(RMSNorm(1e-2, gain=False).build(11)(x), expected, atol=1e-14, rtol=1e-14)


def test_rms_norm_does_not_overflow_in_half_precision():
    x = torch.full((1, 8), 1000.0, dtype=torch.float16)  # 1000² is above float16's largest number
    torch.testing.assert_close(RMSNorm().build(8).half()(x), torch.ones(1, 8, dtype=torch.float16))


@pytest.mark.parametrize(("gain", "bias"), [(True, True), (True, False), (False, False)])
def test_layer_norm_equals_torch(gain, bias):
    x = torch.randn(2, 3, 13, generator=torch.Generator().manual_seed(3))
    ours = LayerNorm(1e-3, gain, bias).build(13)
    theirs = torch.nn.LayerNorm(13, eps=1e-3, elementwise_affine=gain, bias=bias)
    torch.testing.assert_close(ours(x), theirs(x))
    assert sum(p.numel() for p in ours.parameters()) == LayerNorm(1e-3, gain, bias).cost(13).parameters


@pytest.mark.parametrize("norm", [RMSNorm, LayerNorm])
def test_norm_refuses_an_eps_that_is_not_positive(norm):
    with pytest.raises(ArchError, match="eps=0 must be above 0"):
        norm(eps=0)


@pytest.mark.parametrize("norm", [RMSNorm(), LayerNorm()])
def test_norm_of_nothing_is_nothing(norm):
    assert norm.build(8)(torch.zeros(0, 3, 8)).shape == (0, 3, 8)
