import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from octad_optim import WSD, AdamW, Constant, Cosine, InverseSqrt, Linear, OptimError, Warmup, apply
from torch import nn

SHAPES = ("linear", "cosine", "sqrt", "1-sqrt")
counts = st.integers(1, 300)
finals = st.floats(0.0, 1.0)


@pytest.fixture
def transformers():
    return pytest.importorskip("transformers.optimization", reason="transformers, the reference, is not installed")


@given(total=counts, final=finals, warmup=st.integers(0, 50), kind=st.sampled_from([Linear, Cosine]))
def test_falling_schedules_are_exact_at_their_ends(total, final, warmup, kind):
    schedule = Warmup(warmup, kind(total, final))
    values = [schedule(step) for step in range(warmup + total)]
    assert 0.0 < values[0] <= 1.0 or warmup + total == 1
    assert values[warmup] == (1.0 if total > 1 else final)
    assert values[-1] == schedule(warmup + total + 1000) == pytest.approx(final, abs=1e-15)
    rise, fall = values[:warmup], values[warmup:]
    assert rise == sorted(rise)
    assert all(0.0 < v < 1.0 for v in rise)
    assert all(a >= b - 1e-15 for a, b in itertools.pairwise(fall))


@given(
    warmup=st.integers(0, 60),
    stable=st.integers(0, 60),
    decay=st.integers(0, 60),
    shape=st.sampled_from(SHAPES),
    final=finals,
)
def test_wsd_is_exact_at_its_ends_and_flat_between(warmup, stable, decay, shape, final):
    total = max(warmup + stable + decay, 1)
    schedule = WSD(total, warmup, decay, shape, final)
    values = [schedule(step) for step in range(total)]
    assert schedule.stable == total - warmup - decay
    assert all(0.0 < v < 1.0 for v in values[:warmup])
    assert values[warmup : total - decay] == [1.0] * schedule.stable
    if decay:
        assert values[-1] == schedule(total) == schedule(10**6) == pytest.approx(final, abs=1e-15)
        tail = values[total - decay :]
        assert all(a >= b - 1e-15 for a, b in itertools.pairwise(tail))
    else:
        assert schedule(10**6) == 1.0


@pytest.mark.parametrize(
    "schedule",
    [
        Warmup(100, Linear(900)),
        Warmup(100, Cosine(900, 0.1)),
        Warmup(100, InverseSqrt(100)),
        WSD(1000, 100, 200, "linear"),
        WSD(1000, 100, 200, "cosine", 0.1),
    ],
)
def test_schedule_has_no_jumps(schedule):
    # Each piece spans at least 100 steps and its slope is at most pi/2 of the mean one.
    values = [schedule(step) for step in range(1100)]
    assert max(abs(a - b) for a, b in itertools.pairwise(values)) <= 1 / 100


@pytest.mark.parametrize(("warmup", "total"), [(0, 20), (5, 40), (13, 14), (1, 100)])
def test_schedule_equals_transformers_one_step_on(transformers, warmup, total):
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0)
    theirs = {
        "linear": transformers.get_linear_schedule_with_warmup(optimizer, warmup + 1, total),
        "cosine": transformers.get_cosine_schedule_with_warmup(optimizer, warmup + 1, total),
        "inverse": transformers.get_inverse_sqrt_schedule(optimizer, warmup + 1, timescale=17),
        "constant": transformers.get_constant_schedule_with_warmup(optimizer, warmup + 1),
    }
    ours = {
        "linear": Warmup(warmup, Linear(total - warmup)),
        "cosine": Warmup(warmup, Cosine(total - warmup)),
        "inverse": Warmup(warmup, InverseSqrt(17)),
        "constant": Warmup(warmup, Constant()),
    }
    for name, schedule in ours.items():
        expected = theirs[name].lr_lambdas[0]
        for step in range(total if total - warmup > 1 else warmup):
            assert schedule(step) == pytest.approx(expected(step + 1), abs=1e-12), (name, step)


@pytest.mark.parametrize("shape", ["linear", "cosine", "1-sqrt"])
def test_wsd_equals_transformers_one_step_on(transformers, shape):
    warmup, stable, decay = 7, 11, 9
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0)
    theirs = transformers.get_wsd_schedule(
        optimizer, num_warmup_steps=warmup + 1, num_stable_steps=stable - 1, num_decay_steps=decay, decay_type=shape
    ).lr_lambdas[0]
    ours = WSD(warmup + stable + decay, warmup, decay, shape)
    for step in range(40):
        assert ours(step) == pytest.approx(theirs(step + 1), abs=1e-12)


def test_wsd_decay_shapes_follow_their_formulas():
    for shape, formula in {
        "linear": lambda p: 1 - p,
        "cosine": lambda p: (1 + math.cos(math.pi * p)) / 2,
        "sqrt": lambda p: math.sqrt(1 - p),
        "1-sqrt": lambda p: 1 - math.sqrt(p),
    }.items():
        schedule = WSD(30, 5, 20, shape, 0.1)
        for i in range(20):
            assert schedule(10 + i) == pytest.approx(0.1 + 0.9 * formula((i + 1) / 20), abs=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Linear(0), "total=0"),
        (lambda: Linear(1.5), "total=1.5"),
        (lambda: Cosine(10, final=1.5), "final=1.5"),
        (lambda: Cosine(10, final=float("nan")), "final=nan"),
        (lambda: InverseSqrt(0), "timescale=0"),
        (lambda: Warmup(-1, Constant()), "steps=-1"),
        (lambda: Warmup(1, 3), "then=3"),
        (lambda: WSD(10, 6, 5), r"warmup=6 \+ decay=5 > total=10; use decay=4"),
        (lambda: WSD(10, 1, 1, "exp"), "decay_shape='exp'"),
        (lambda: Constant()(-1), "step=-1"),
        (lambda: Warmup(3, Constant())(-1), "step=-1"),
    ],
)
def test_schedule_names_a_bad_setting(make, message):
    with pytest.raises(OptimError, match=message):
        make()


def test_schedule_saves_no_object_under_lambda_lr():
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=2.0)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, Warmup(3, Cosine(7)).__call__)
    assert scheduler.state_dict()["lr_lambdas"] == [{}]
    assert optimizer.param_groups[0]["lr"] == 2.0 * Warmup(3, Cosine(7))(0)


def test_apply_scales_each_groups_own_peak_and_survives_resuming():
    parameters = [nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))]
    optimizer = AdamW([{"params": parameters[:1], "lr": 0.5}, {"params": parameters[1:], "lr": 0.1}])
    schedule = Warmup(3, Cosine(10))
    for step in range(5):
        factor = apply(optimizer, schedule, step)
        assert factor == schedule(step)
        assert [g["lr"] for g in optimizer.param_groups] == [0.5 * factor, 0.1 * factor]
    resumed = AdamW([{"params": parameters[:1]}, {"params": parameters[1:]}])
    resumed.load_state_dict(optimizer.state_dict())
    apply(resumed, schedule, 5)
    assert [g["lr"] for g in resumed.param_groups] == [0.5 * schedule(5), 0.1 * schedule(5)]
