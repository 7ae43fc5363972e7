import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_optim import AdamW, OptimError, adamw
from torch import nn

SHAPES = [(3,), (), (5, 7), (1, 1), (2, 3, 4), (0, 3)]


@pytest.mark.parametrize("fused", [None, False, True])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-6)])
def test_adamw_equals_torch_over_many_steps(train, fused, weight_decay, dtype, tolerance):
    # The tolerance is a few dozen roundings of the dtype: the order of the operations differs.
    options = {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": weight_decay}
    ours, theirs = train(
        SHAPES,
        [lambda p: AdamW(p, fused=fused, **options), lambda p: torch.optim.AdamW(p, foreach=False, **options)],
        steps=60,
        dtype=dtype,
    )
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


def test_adamw_equals_torch_with_settings_per_group(train):
    def groups(parameters):
        return [
            {"params": parameters[:2], "lr": 0.1, "weight_decay": 0.0},
            {"params": parameters[2:], "betas": (0.5, 0.7)},
        ]

    ours, theirs = train(SHAPES, [lambda p: AdamW(groups(p)), lambda p: torch.optim.AdamW(groups(p), foreach=False)])
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_adamw_in_bfloat16_stays_within_its_rounding(train):
    ours, theirs = train(
        [(4, 5), (3,)], [lambda p: AdamW(p), lambda p: torch.optim.AdamW(p)], steps=5, dtype=torch.bfloat16
    )
    torch.testing.assert_close(ours, theirs, rtol=2e-2, atol=2e-2)  # bf16 has 8 bits


@given(
    step=st.integers(1, 10_000),
    beta=st.floats(0.0, 0.999),
    grad=st.just(0.0) | st.floats(1e-6, 1e3) | st.floats(-1e3, -1e-6),
    decay=st.floats(0.0, 1.0),
)
@settings(deadline=None, max_examples=60)
def test_adamw_first_step_from_equal_means_moves_by_the_learning_rate(step, beta, grad, decay):
    # With constant gradients the corrected means are g and g² at every step, so the move is lr·sign(g).
    theta, g = torch.tensor(2.0, dtype=torch.float64), torch.tensor(grad, dtype=torch.float64)
    first, second = g * (1 - beta ** (step - 1)), g**2 * (1 - beta ** (step - 1))
    new, _, _ = adamw(theta, g, first, second, step, lr=0.1, betas=(beta, beta), eps=1e-30, weight_decay=decay)
    expected = (1 - 0.1 * decay) * 2.0 - 0.1 * float(g.sign())
    assert float(new) == pytest.approx(expected, abs=1e-9)


def test_adamw_function_leaves_its_arguments(random):
    arguments = [random(3, 2), random(3, 2), random(3, 2), random(3, 2).abs()]
    before = [a.clone() for a in arguments]
    adamw(*arguments, 3, lr=0.1)
    torch.testing.assert_close(arguments, before, rtol=0, atol=0)
    with pytest.raises(OptimError, match="step=0"):
        adamw(*arguments, 0, lr=0.1)


def test_adamw_takes_transposed_parameters_and_gradients(random):
    start, grad = random(4, 6), random(6, 4)
    ours, theirs = nn.Parameter(start.clone().T), nn.Parameter(start.clone().T)
    optimizers = [AdamW([ours], weight_decay=0.1), torch.optim.AdamW([theirs], weight_decay=0.1, foreach=False)]
    for _ in range(3):
        ours.grad, theirs.grad = grad.clone(), grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    with pytest.raises(OptimError, match="contiguous"):
        AdamW([ours], fused=True).step()


def test_adamw_continues_from_the_state_of_torch(random):
    ours, theirs = nn.Parameter(random(3, 4)), nn.Parameter(random(3, 4))
    reference = torch.optim.AdamW([theirs], lr=0.01)
    theirs.grad = random(3, 4)
    reference.step()
    optimizer = AdamW([ours], lr=1.0)
    optimizer.load_state_dict(copy.deepcopy(reference.state_dict()))  # loading shares tensors, as in torch
    ours.data.copy_(theirs.data)
    ours.grad = theirs.grad = random(3, 4)
    optimizer.step()
    reference.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
