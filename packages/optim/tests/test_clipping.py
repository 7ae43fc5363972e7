import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_optim import OptimError, clip_grad_norm, global_norm, nonfinite_gradients
from torch import nn


def parameters_with_gradients(shapes, dtypes, scale, seed):
    generator = torch.Generator().manual_seed(seed)
    parameters = []
    for shape, dtype in zip(shapes, dtypes, strict=True):
        parameter = nn.Parameter(torch.zeros(shape, dtype=dtype))
        parameter.grad = (torch.randn(shape, generator=generator, dtype=torch.float64) * scale).to(dtype)
        parameters.append(parameter)
    return [*parameters, nn.Parameter(torch.zeros(3))]


@given(
    shapes=st.lists(st.sampled_from([(), (1,), (5,), (3, 4), (2, 3, 5), (0,)]), min_size=1, max_size=5),
    dtype=st.sampled_from([(torch.float32, 1e-6), (torch.float64, 1e-12)]),
    max_norm=st.floats(1e-3, 1e3),
    scale=st.sampled_from([1e-3, 1.0, 100.0]),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=60)
def test_clip_grad_norm_equals_torch(shapes, dtype, max_norm, scale, seed):
    dtype, tolerance = dtype
    ours = parameters_with_gradients(shapes, [dtype] * len(shapes), scale, seed)
    theirs = copy.deepcopy(ours)
    for copied, parameter in zip(theirs, ours, strict=True):
        copied.grad = None if parameter.grad is None else parameter.grad.clone()
    norm = clip_grad_norm(iter(ours), max_norm)
    expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm)
    torch.testing.assert_close(norm, expected, rtol=tolerance, atol=0)
    assert ours[-1].grad is None
    for a, b in zip(ours[:-1], theirs[:-1], strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=4 * tolerance, atol=0)


def test_clip_grad_norm_mixes_dtypes_and_keeps_them():
    dtypes = [torch.float32, torch.bfloat16, torch.float64]
    parameters = parameters_with_gradients([(4,), (3, 2), (5,)], dtypes, 10.0, 0)
    before = [p.grad.double().clone() for p in parameters[:-1]]
    norm = clip_grad_norm(parameters, 1.0)
    expected = torch.cat([g.flatten() for g in before]).norm()
    assert float(norm) == pytest.approx(float(expected), rel=1e-6)
    for parameter, grad, dtype in zip(parameters, before, dtypes, strict=False):
        assert parameter.grad.dtype == dtype
        torch.testing.assert_close(parameter.grad.double(), grad / expected, rtol=1e-2, atol=0)  # bf16's 8 bits


def test_clip_grad_norm_does_not_overflow_in_half_precision():
    parameter = nn.Parameter(torch.zeros(1000, dtype=torch.float16))
    parameter.grad = torch.full_like(parameter, 1e4)
    assert float(clip_grad_norm(parameter, 1.0)) == pytest.approx(1e4 * 1000**0.5, rel=1e-3)
    assert float(global_norm([parameter.grad])) == pytest.approx(1.0, rel=1e-2)


def test_clip_grad_norm_takes_non_contiguous_gradients():
    parameter = nn.Parameter(torch.zeros(4, 6).T)
    parameter.grad = torch.arange(24.0).reshape(6, 4)
    expected = parameter.grad / parameter.grad.norm()
    clip_grad_norm([parameter], 1.0)
    torch.testing.assert_close(parameter.grad, expected)


@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
def test_clip_grad_norm_reports_what_is_not_finite_and_touches_nothing(bad):
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 5.0)
    assert nonfinite_gradients(model) == []
    model[1].weight.grad[0, 1] = bad
    before = [p.grad.clone() for p in model.parameters()]
    norm = clip_grad_norm(model.parameters(), 1.0)
    assert not norm.isfinite()
    for parameter, grad in zip(model.parameters(), before, strict=True):
        torch.testing.assert_close(parameter.grad, grad, rtol=0, atol=0, equal_nan=True)
    assert nonfinite_gradients(model) == ["1.weight"]


def test_clip_grad_norm_at_its_edges():
    assert float(clip_grad_norm([], 1.0)) == 0.0
    assert float(clip_grad_norm([nn.Parameter(torch.ones(2))], 1.0)) == 0.0
    parameter = nn.Parameter(torch.zeros(2))
    parameter.grad = torch.tensor([3.0, 4.0])
    assert float(clip_grad_norm([parameter], float("inf"))) == 5.0
    assert parameter.grad.tolist() == [3.0, 4.0]
    for max_norm in (0.0, -1.0, float("nan")):
        with pytest.raises(OptimError, match="max_norm"):
            clip_grad_norm([parameter], max_norm)
    parameter.grad = torch.ones(2).to_sparse()
    with pytest.raises(OptimError, match="sparse"):
        clip_grad_norm([parameter], 1.0)
