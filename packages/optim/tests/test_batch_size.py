import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from octad_optim import (
    BatchRamp,
    GradientNoise,
    NoiseScale,
    OptimError,
    examples_and_steps,
    global_norm,
    gradient_noise,
)


def test_noise_scale_finds_the_known_answer_of_a_quadratic():
    # The loss of example x is |θ - x|²/2, its gradient θ - x: G = θ - E[x], and tr(Σ) is the variance of x.
    generator = torch.Generator().manual_seed(0)
    theta, deviation = torch.tensor([3.0, -4.0, 0.0, 0.0]), torch.tensor([1.0, 2.0, 3.0, 4.0])
    signal, noise = 25.0, 30.0
    measured = NoiseScale(decay=0.999)
    for _ in range(3000):
        gradients = theta - deviation * torch.randn(16, 4, generator=generator)
        small = float(global_norm([gradients[:2].mean(0)]) ** 2)
        big = float(global_norm([gradients.mean(0)]) ** 2)
        measured.update(gradient_noise(2, 16, small, big))
    # about 1000 steps effective; each estimate of the noise has a deviation of about 1.5 of its mean
    assert measured.mean.signal == pytest.approx(signal, rel=0.1)
    assert measured.mean.noise == pytest.approx(noise, rel=0.2)
    assert measured.mean.scale == pytest.approx(noise / signal, rel=0.3)


@given(
    small=st.integers(1, 100),
    factor=st.integers(2, 50),
    signal=st.floats(1e-3, 1e3),
    noise=st.floats(1e-3, 1e3),
)
def test_gradient_noise_inverts_the_expectation(small, factor, signal, noise):
    big = small * factor
    found = gradient_noise(small, big, signal + noise / small, signal + noise / big)
    assert found.signal == pytest.approx(signal, rel=1e-6, abs=1e-9 * noise)
    assert found.noise == pytest.approx(noise, rel=1e-6, abs=1e-7 * signal * big)


def test_gradient_noise_at_its_edges():
    assert GradientNoise(0.0, 1.0).scale == float("inf")
    assert GradientNoise(-0.1, 1.0).scale == float("inf")
    assert GradientNoise(2.0, -1.0).scale == 0.0
    assert GradientNoise(2.0, 6.0).scale == 3.0
    with pytest.raises(OptimError, match="two sizes"):
        gradient_noise(8, 8, 1.0, 1.0)
    for norm in (-1.0, float("nan")):
        with pytest.raises(OptimError, match="big_squared_norm"):
            gradient_noise(8, 16, 1.0, norm)
    with pytest.raises(OptimError, match="updates=0"):
        _ = NoiseScale().mean
    with pytest.raises(OptimError, match="decay=1"):
        NoiseScale(1.0)


def test_noise_scale_is_unbiased_from_the_first_update():
    measured = NoiseScale(0.9)
    for _ in range(3):
        measured.update(GradientNoise(2.0, 6.0))
        assert measured.mean.signal == pytest.approx(2.0)
        assert measured.mean.noise == pytest.approx(6.0)


@given(st.floats(1e-3, 1e6), st.floats(1e-3, 1e6))
def test_examples_and_steps_lie_on_the_published_hyperbola(batch, critical):
    examples, steps = examples_and_steps(batch, critical)
    assert batch / critical * (steps - 1) == pytest.approx(1.0, rel=1e-3, abs=1e-3) or steps - 1 < 1e-3
    assert examples_and_steps(critical, critical) == (2.0, 2.0)
    assert examples >= 1.0


@given(multiple=st.integers(1, 16), start=st.integers(1, 20), growth=st.integers(0, 50), steps=st.integers(0, 200))
def test_batch_ramp_grows_in_multiples_from_start_to_stop(multiple, start, growth, steps):
    ramp = BatchRamp(start * multiple, (start + growth) * multiple, steps, multiple)
    sizes = [ramp(step) for step in range(steps + 3)]
    assert all(size % multiple == 0 for size in sizes)
    assert sizes == sorted(sizes)
    assert sizes[steps:] == [ramp.stop] * 3
    assert sizes[0] == (ramp.start if steps else ramp.stop)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 8, 10), "start=0"),
        ((8, 4, 10), "stop=4"),
        ((8, 16, -1), "steps=-1"),
        ((6, 16, 10, 4), "start=6 with multiple=4; use start=8"),
        ((8, 17, 10, 4), "stop=17 with multiple=4; use stop=16"),
        ((8, 16, 10, 0), "multiple=0"),
    ],
)
def test_batch_ramp_names_a_bad_setting(arguments, message):
    with pytest.raises(OptimError, match=message):
        BatchRamp(*arguments)


def test_critical_batch_size_needs_positive_sizes():
    with pytest.raises(OptimError, match="critical_batch_size=0"):
        examples_and_steps(1, 0)
    with pytest.raises(OptimError, match="batch_size=-1"):
        examples_and_steps(-1, 1)
