"""PPO against loops in Python floats over the published formulas: no library of reference has it any more."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_align import (
    AlignError,
    generalized_advantages,
    penalised_rewards,
    ppo_policy_loss,
    ppo_value_loss,
    whiten,
)


def draw(seed):
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 5), rng.integers(1, 9)
    return rng, shape, rng.normal(size=shape), rng.normal(size=shape), rng.random(shape) < 0.7


def loop_gae(rewards, values, steps, last_value, terminal, gamma, gae_lambda):
    """Sums of discounted errors (eq. 16), written as sums, not as the recursion."""
    next_values = ([values[t] for t in steps] + [last_value])[1:]
    deltas = [
        rewards[t] + (0 if terminal[t] else gamma * v) - values[t] for t, v in zip(steps, next_values, strict=True)
    ]
    result = {}
    for i, t in enumerate(steps):
        total, weight = 0.0, 1.0
        for j in range(i, len(steps)):
            total += weight * deltas[j]
            weight *= 0.0 if terminal[steps[j]] else gamma * gae_lambda
        result[t] = total
    return result


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), gamma=st.floats(0, 1), gae_lambda=st.floats(0, 1), has_end=st.booleans())
def test_generalized_advantages_match_a_loop(seed, gamma, gae_lambda, has_end):
    rng, shape, rewards, values, mask = draw(seed)
    last, terminal = rng.normal(size=shape[0]), rng.random(shape) < (0.3 if has_end else 0)
    ours = generalized_advantages(
        *map(torch.from_numpy, (rewards, values, mask)), gamma=gamma, gae_lambda=gae_lambda,
        last_values=torch.from_numpy(last), is_terminal=torch.from_numpy(terminal),
    )  # fmt: skip
    for b in range(shape[0]):
        steps = [t for t in range(shape[1]) if mask[b, t]]
        expected = loop_gae(rewards[b], values[b], steps, last[b], terminal[b], gamma, gae_lambda)
        for t in range(shape[1]):
            advantage = expected.get(t, 0.0)
            assert float(ours.advantages[b, t]) == pytest.approx(advantage, rel=1e-10, abs=1e-12)
            target = advantage + values[b, t] if t in expected else 0.0
            assert float(ours.returns[b, t]) == pytest.approx(target, rel=1e-10, abs=1e-12)


def test_monte_carlo_returns_are_sums_of_rewards():
    rewards = torch.tensor([[0.0, 0.0, 1.0]])
    result = generalized_advantages(rewards, torch.randn(1, 3), gamma=1.0, gae_lambda=1.0)
    torch.testing.assert_close(result.returns, torch.ones(1, 3))


def test_generalized_advantages_ignore_masked_nan():
    values = torch.tensor([[1.0, torch.nan, 2.0]])
    result = generalized_advantages(torch.zeros(1, 3), values, torch.tensor([[1, 0, 1]]))
    assert torch.isfinite(result.advantages).all() and torch.isfinite(result.returns).all()


@pytest.mark.parametrize("settings", [{"gamma": 1.1}, {"gae_lambda": -0.1}, {"last_values": torch.zeros(3)}])
def test_generalized_advantages_name_the_wrong_argument(settings):
    with pytest.raises(AlignError, match=next(iter(settings))):
        generalized_advantages(torch.zeros(2, 3), torch.zeros(2, 3), **settings)


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_policy_and_value_losses_match_a_loop(seed):
    rng, shape, old, advantages, mask = draw(seed)
    new = old + rng.normal(0, 0.4, shape)
    returns = rng.normal(size=shape)
    policy, value, clipped = [], [], []
    for index in zip(*np.nonzero(mask), strict=True):
        ratio, a = np.exp(new[index] - old[index]), advantages[index]
        policy.append(-min(ratio * a, min(max(ratio, 0.9), 1.3) * a))
        clipped.append((ratio > 1.3 and a > 0) or (ratio < 0.9 and a < 0))
        near = old[index] + min(max(new[index] - old[index], -0.2), 0.2)
        value.append(0.5 * max((new[index] - returns[index]) ** 2, (near - returns[index]) ** 2))
    t_new, t_old, t_advantages, t_returns, t_mask = map(torch.from_numpy, (new, old, advantages, returns, mask))
    ours = ppo_policy_loss(t_new, t_old, t_advantages, t_mask, clip_low=0.1, clip_high=0.3)
    n = max(len(policy), 1)
    assert float(ours.loss) == pytest.approx(sum(policy) / n, rel=1e-10, abs=1e-12)
    assert float(ours.clip_fraction) == pytest.approx(sum(clipped) / n, rel=1e-6)
    assert float(ours.kl) >= 0
    ours_value = ppo_value_loss(t_new, t_old, t_returns, t_mask)
    assert float(ours_value.loss) == pytest.approx(sum(value) / n, rel=1e-10, abs=1e-12)


def test_value_loss_without_clip_is_half_the_squared_error():
    values, returns = torch.randn(2, 3), torch.randn(2, 3)
    ours = ppo_value_loss(values, torch.zeros(2, 3), returns, torch.ones(2, 3), clip=None)
    torch.testing.assert_close(ours.loss, 0.5 * torch.nn.functional.mse_loss(values, returns))


def test_whiten_gives_mean_0_and_variance_1_and_is_0_where_masked():
    values = 3 + 5 * torch.randn(4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mask = torch.arange(6) < torch.tensor([[6], [3], [1], [0]])
    white = whiten(values, mask)
    assert float(white[mask].mean()) == pytest.approx(0, abs=1e-12)
    assert float(white[mask].var(unbiased=False)) == pytest.approx(1, rel=1e-6)
    assert (white[~mask] == 0).all()


def test_penalised_rewards_put_the_score_on_the_last_token():
    log_probs, reference = torch.full((2, 4), -1.0), torch.full((2, 4), -1.5)
    mask = torch.tensor([[1, 1, 1, 0], [0, 0, 0, 0]])
    rewards = penalised_rewards(torch.tensor([2.0, 9.0]), log_probs, reference, mask, beta=0.1)
    torch.testing.assert_close(rewards, torch.tensor([[-0.05, -0.05, 1.95, 0.0], [0.0] * 4]))
