import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_optim import POLAR_EXPRESS, QUINTIC, Muon, OptimError, newton_schulz, orthogonalise, update_scale
from octad_optim.newton_schulz import NOISE_LIMIT, segments
from torch import nn

SHAPES = [(8, 8), (4, 16), (16, 4), (1, 5), (5, 1), (1, 1), (7, 10), (10, 7)]


def polynomial(values, coefficients):
    for a, b, c in coefficients:
        values = a * values + b * values**3 + c * values**5
    return values


@pytest.mark.parametrize("coefficients", [QUINTIC, POLAR_EXPRESS])
@pytest.mark.parametrize("shape", SHAPES)
def test_orthogonalise_is_the_polynomial_of_the_singular_values(random, shape, coefficients):
    matrix = random(*shape)
    u, s, vt = torch.linalg.svd(matrix, full_matrices=False)
    expected = u @ torch.diag(polynomial(s / s.norm(), coefficients)) @ vt
    torch.testing.assert_close(orthogonalise(matrix, coefficients), expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(newton_schulz(matrix, coefficients), expected, rtol=1e-10, atol=1e-10)


@given(
    rows=st.integers(1, 24),
    cols=st.integers(1, 24),
    condition=st.floats(0, 7),
    magnitude=st.floats(-3, 6),
    seed=st.integers(0, 999),
)
@settings(deadline=None, max_examples=80)
def test_orthogonalise_equals_the_reference_in_float32_at_any_condition(rows, cols, condition, magnitude, seed):
    # 2e-3 is what the Gram matrix's rounding may grow to (NOISE_LIMIT) at the smallest singular values.
    generator = torch.Generator().manual_seed(seed)
    u, s, vt = torch.linalg.svd(torch.randn(rows, cols, generator=generator, dtype=torch.float64), full_matrices=False)
    spectrum = torch.logspace(0, -condition, len(s), dtype=torch.float64) * 10**magnitude
    matrix = u @ torch.diag(spectrum) @ vt
    for coefficients in (QUINTIC, POLAR_EXPRESS):
        fast = orthogonalise(matrix.float(), coefficients)
        torch.testing.assert_close(fast.double(), newton_schulz(matrix, coefficients), rtol=0, atol=2e-3)


@pytest.mark.parametrize(
    ("coefficients", "smallest", "low", "high"),
    [(QUINTIC, 0.002, 0.68, 1.21), (POLAR_EXPRESS, 0.001, 1 - 1e-6, 1 + 1e-6)],
)
def test_orthogonalise_keeps_its_stated_band(random, coefficients, smallest, low, high):
    u, _, vt = torch.linalg.svd(random(40, 100), full_matrices=False)
    spectrum = torch.logspace(0, math.log10(4 * smallest), 40, dtype=torch.float64)
    assert spectrum[-1] / spectrum.norm() >= smallest
    values = torch.linalg.svdvals(orthogonalise(u @ torch.diag(spectrum) @ vt, coefficients))
    whole_range = polynomial(torch.logspace(math.log10(smallest), 0, 5001, dtype=torch.float64), coefficients)
    for s in (values, whole_range):
        assert low <= s.min() and s.max() <= high


def test_orthogonalise_takes_batches_zeros_empties_and_other_dtypes(random):
    batch = random(2, 3, 4, 9)
    each = torch.stack([newton_schulz(m) for m in batch.reshape(6, 4, 9)]).reshape(2, 3, 4, 9)
    torch.testing.assert_close(orthogonalise(batch), each, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(orthogonalise(batch.mT), each.mT, rtol=1e-10, atol=1e-10)
    assert torch.equal(orthogonalise(torch.zeros(3, 5)), torch.zeros(3, 5))
    assert orthogonalise(torch.zeros(0, 5)).shape == (0, 5)
    assert orthogonalise(torch.zeros(2, 0, 5), dtype=torch.bfloat16).dtype == torch.bfloat16
    half = orthogonalise(batch, dtype=torch.bfloat16).double()
    assert (half - each).norm() / each.norm() < 0.03  # bf16's 8 bits through five steps
    with pytest.raises(OptimError, match=r"shape \(3,\)"):
        orthogonalise(torch.ones(3))


@given(st.integers(1, 500), st.integers(1, 500), st.sampled_from([torch.float32, torch.float64, torch.bfloat16]))
def test_segments_keep_the_steps_and_their_noise_in_bounds(rows, cols, dtype):
    for coefficients in (QUINTIC, POLAR_EXPRESS):
        runs = segments(coefficients, rows, cols, dtype)
        assert [step for run in runs for step in run] == list(coefficients)
        for run in runs:
            grown = torch.finfo(dtype).eps * math.prod(step[0] ** 2 for step in run[:-1])
            assert len(run) == 1 or (grown <= NOISE_LIMIT and 2 * cols > 3 * rows)


def test_segments_state_the_runs_that_the_docstring_promises():
    assert [len(run) for run in segments(QUINTIC, 64, 256, torch.float32)] == [5]
    assert [len(run) for run in segments(QUINTIC, 64, 64, torch.float32)] == [1] * 5
    assert [len(run) for run in segments(QUINTIC, 64, 256, torch.bfloat16)] == [1] * 5


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize(
    ("scale", "theirs"), [("original", "original"), ("match_rms_adamw",) * 2, ("spectral", "spectral_unclamped")]
)
def test_muon_equals_torch_when_torch_computes_in_float64(train, monkeypatch, nesterov, scale, theirs):
    # torch.optim.Muon casts to torch.bfloat16 by that name; under another name it is a float64 reference.
    monkeypatch.setattr(torch, "bfloat16", torch.float64)
    options = {"lr": 0.03, "weight_decay": 0.2, "momentum": 0.9, "nesterov": nesterov}
    ours, reference = train(
        SHAPES,
        [lambda p: Muon(p, scale=scale, **options), lambda p: torch.optim.Muon(p, adjust_lr_fn=theirs, **options)],
    )
    torch.testing.assert_close(ours, reference, rtol=1e-9, atol=1e-9)


def test_muon_in_bfloat16_is_near_torchs_own(train):
    ours, theirs = train(
        [(6, 20), (12, 12)],
        [
            lambda p: Muon(p, lr=0.01, scale="original", compute_dtype="bfloat16"),
            lambda p: torch.optim.Muon(p, lr=0.01),
        ],
        steps=10,
        dtype=torch.float32,
    )
    # ten updates of size lr, each right to bf16's 0.4 % times five steps
    torch.testing.assert_close(ours, theirs, rtol=0, atol=10 * 0.01 * 0.04)


def test_muon_update_has_the_root_mean_square_of_adamw(random):
    for shape in ((32, 96), (96, 32), (64, 64)):
        parameter = nn.Parameter(torch.zeros(*shape, dtype=torch.float64))
        parameter.grad = random(*shape)
        Muon([parameter], lr=1.0, weight_decay=0.0, coefficients=POLAR_EXPRESS).step()
        # An r x c matrix with r <= c unit singular values has entries of 1/√c, so the scale makes them 0.2. A
        # random square one has singular values below the polynomial's 0.001 at times: 2 %.
        assert float(parameter.detach().square().mean().sqrt()) == pytest.approx(0.2, rel=0.02)


def test_muon_treats_leading_axes_as_a_batch_of_matrices(random):
    experts, grad = random(3, 4, 9), random(3, 4, 9)
    together = nn.Parameter(experts.clone())
    apart = [nn.Parameter(m.clone()) for m in experts]
    together.grad = grad
    for parameter, g in zip(apart, grad, strict=True):
        parameter.grad = g
    Muon([together]).step()
    Muon(apart).step()
    torch.testing.assert_close(together.detach(), torch.stack([p.detach() for p in apart]), rtol=1e-12, atol=1e-12)


def test_muon_on_a_cpu_computes_in_float32_or_better(random):
    wide, half = nn.Parameter(random(4, 9)), nn.Parameter(random(4, 9, dtype=torch.bfloat16))
    for parameter in (wide, half):
        parameter.grad = torch.ones_like(parameter)
        Muon([parameter]).step()
        assert parameter.isfinite().all()


@pytest.mark.parametrize(
    ("scale", "factor"),
    [("match_rms_adamw", 0.2 * 8), ("original", 4.0), ("spectral", 4.0), ("none", 1.0)],
)
def test_update_scale_states_the_published_factors(scale, factor):
    assert update_scale(64, 4, scale) == pytest.approx(factor)
    assert update_scale(4, 64, "original") == 1.0
    assert update_scale(4, 64, "spectral") == 0.25
    assert update_scale(0, 4, scale) == 1.0
