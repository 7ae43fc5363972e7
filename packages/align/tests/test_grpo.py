"""Group advantages and the GRPO loss beyond what TRL can tell."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_align import AlignError, group_advantages, grpo_loss


def rewards_strategy(min_group=1):
    shape = st.tuples(st.integers(1, 5), st.integers(min_group, 6))
    return shape.flatmap(
        lambda s: st.lists(st.lists(st.floats(-10, 10), min_size=s[1], max_size=s[1]), min_size=s[0], max_size=s[0])
    )


@given(rewards=rewards_strategy(), scale=st.sampled_from(["std", "none", "batch"]))
def test_group_advantages_sum_to_zero(rewards, scale):
    result = group_advantages(torch.tensor(rewards, dtype=torch.float64), scale=scale)
    # up to 6 rewards of 10, over a deviation of at least 1e-4
    assert result.advantages.sum(1).abs().max() < 1e-8
    assert torch.isfinite(result.advantages).all()


@given(rewards=rewards_strategy(min_group=2))
def test_group_advantages_match_numpy(rewards):
    array = np.array(rewards)
    expected = (array - array.mean(1, keepdims=True)) / (array.std(1, ddof=1, keepdims=True) + 1e-4)
    result = group_advantages(torch.tensor(rewards, dtype=torch.float64))
    np.testing.assert_allclose(result.advantages.numpy(), expected, rtol=1e-8, atol=1e-9)


@given(reward=st.floats(-10, 10), group=st.integers(1, 9), scale=st.sampled_from(["std", "none", "batch"]))
def test_group_without_variance_gives_exact_zeros(reward, group, scale):
    """Float32 means of equal rewards round: 0.1 gave advantages of 1e-4 instead of 0."""
    rewards = torch.full((3, group), reward)
    result = group_advantages(rewards, scale=scale, epsilon=0.0)
    assert (result.advantages == 0).all()
    assert result.num_constant_groups == 3


def test_unscored_completions_have_no_say():
    rewards = torch.tensor([[1.0, 0.0, torch.nan], [torch.nan, torch.nan, torch.nan]])
    result = group_advantages(rewards, scale="none")
    assert result.advantages.tolist() == [[0.5, -0.5, 0.0], [0.0, 0.0, 0.0]]
    assert result.is_constant.tolist() == [False, True]


@given(rewards=rewards_strategy(min_group=2))
def test_leave_one_out_baseline_matches_a_loop(rewards):
    result = group_advantages(torch.tensor(rewards, dtype=torch.float64), scale="none", baseline="leave_one_out")
    for row, ours in zip(rewards, result.advantages.tolist(), strict=True):
        expected = [r - (sum(row) - r) / (len(row) - 1) for r in row]
        assert ours == pytest.approx(expected, abs=1e-9)


def test_group_advantages_of_no_prompts_is_empty():
    assert group_advantages(torch.zeros(0, 4)).advantages.shape == (0, 4)


@pytest.mark.parametrize("rewards", [torch.zeros(4), torch.zeros(2, 0), torch.zeros(1, 2, 3)])
def test_group_advantages_refuse_other_shapes(rewards):
    with pytest.raises(AlignError, match=r"\(prompts, group\)"):
        group_advantages(rewards)


def loop_loss(log_probs, old, reference, advantages, mask, low, high, beta):
    """The published formula, one token at a time in Python floats."""
    total = 0.0
    for i in range(len(mask)):
        tokens = [t for t in range(len(mask[i])) if mask[i][t]]
        losses = []
        for t in tokens:
            ratio = np.exp(log_probs[i][t] - old[i][t])
            clipped = min(max(ratio, 1 - low), 1 + high)
            d = reference[i][t] - log_probs[i][t]
            losses.append(-min(ratio * advantages[i], clipped * advantages[i]) + beta * (np.exp(d) - d - 1))
        total += sum(losses) / max(len(tokens), 1)
    return total / len(mask)


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), beta=st.sampled_from([0.0, 0.1]))
def test_grpo_loss_matches_a_float64_loop(seed, beta):
    rng = np.random.default_rng(seed)
    batch, seq = rng.integers(1, 5), rng.integers(1, 6)
    log_probs, reference = -rng.random((batch, seq)), -rng.random((batch, seq))
    old = log_probs + rng.normal(0, 0.3, (batch, seq))
    advantages, mask = rng.normal(size=batch), rng.random((batch, seq)) < 0.7
    tensors = [torch.from_numpy(x) for x in (log_probs, old, reference, advantages, mask)]
    ours = grpo_loss(*tensors, clip_low=0.1, clip_high=0.3, beta=beta)
    expected = loop_loss(log_probs, old, reference, advantages, mask, 0.1, 0.3, beta)
    assert float(ours.loss) == pytest.approx(expected, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("importance", ["token", "sequence"])
@pytest.mark.parametrize("poison", [torch.nan, torch.inf, -torch.inf])
def test_grpo_never_reads_a_masked_token(poison, importance):
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    clean = [-torch.rand(2, 3, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    dirty = [x.masked_fill(mask == 0, poison).requires_grad_() for x in clean]
    advantages = torch.tensor([1.0, -1.0])
    expected = grpo_loss(*clean, advantages, mask, beta=0.1, importance=importance)
    ours = grpo_loss(*dirty, advantages, mask, beta=0.1, importance=importance)
    ours.loss.backward()
    torch.testing.assert_close(ours.loss, expected.loss)
    assert torch.isfinite(dirty[0].grad).all()
    assert dirty[1].grad is None and dirty[2].grad is None


def test_grpo_of_an_empty_completion_and_an_empty_batch_is_zero():
    log_probs = torch.randn(2, 3, requires_grad=True)
    for aggregation in ("grpo", "bnpo", "dapo", "dr_grpo"):
        result = grpo_loss(
            log_probs, None, None, torch.ones(2), torch.zeros(2, 3), aggregation=aggregation, max_completion_length=3
        )
        assert float(result.loss.detach()) == 0
    assert float(grpo_loss(torch.zeros(0, 3), None, None, torch.zeros(0), torch.zeros(0, 3)).loss) == 0


def test_grpo_takes_an_advantage_for_each_token():
    log_probs, mask = -torch.rand(2, 3), torch.ones(2, 3)
    advantages = torch.tensor([1.0, -2.0])
    torch.testing.assert_close(
        grpo_loss(log_probs, None, None, advantages, mask).loss,
        grpo_loss(log_probs, None, None, advantages.unsqueeze(1).expand(2, 3), mask).loss,
    )


def test_grpo_computes_bfloat16_and_strided_input_in_float32():
    log_probs = -torch.rand(3, 2, generator=torch.Generator().manual_seed(1)).bfloat16().t()
    advantages, mask = torch.tensor([1.0, -1.0]), torch.ones(2, 3)
    ours = grpo_loss(log_probs, log_probs + 0.25, log_probs - 0.5, advantages, mask, beta=0.1)
    wide = log_probs.float().contiguous()
    old, reference = (log_probs + 0.25).float(), (log_probs - 0.5).float()
    assert ours.loss.dtype == torch.float32
    torch.testing.assert_close(ours.loss, grpo_loss(wide, old, reference, advantages, mask, beta=0.1).loss)


def test_dapo_micro_batches_add_up_to_the_whole_batch():
    generator = torch.Generator().manual_seed(9)
    log_probs = -torch.rand(4, 5, generator=generator, dtype=torch.float64)
    mask = torch.rand(4, 5, generator=generator) < 0.5
    advantages = torch.randn(4, generator=generator, dtype=torch.float64)
    whole = grpo_loss(log_probs, None, None, advantages, mask, aggregation="dapo").loss
    parts = [
        grpo_loss(log_probs[s], None, None, advantages[s], mask[s], aggregation="dapo", num_tokens=mask.sum()).loss
        for s in (slice(0, 1), slice(1, 4))
    ]
    torch.testing.assert_close(sum(parts), whole)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beta": 0.1}, "pass reference_log_probs"),
        ({"clip_low": 1.5}, "clip_low=1.5"),
        ({"clip_high": -0.1}, "clip_high=-0.1"),
        ({"aggregation": "mean"}, "grpo, bnpo, dr_grpo, dapo"),
        ({"aggregation": "dr_grpo"}, "max_completion_length=None"),
        ({"importance": "word"}, "token, sequence"),
        ({"num_tokens": 5}, "aggregation='dapo'"),
        ({"entropy_weight": 0.1}, "entropy=..."),
    ],
)
def test_grpo_names_the_wrong_argument(settings, message):
    with pytest.raises(AlignError, match=message):
        grpo_loss(torch.zeros(2, 3), None, None, torch.zeros(2), torch.ones(2, 3), **settings)


@pytest.mark.parametrize("advantages", [torch.zeros(3), torch.zeros(2, 2), torch.zeros(())])
def test_grpo_refuses_advantages_of_another_shape(advantages):
    with pytest.raises(AlignError, match="advantages has shape"):
        grpo_loss(torch.zeros(2, 3), None, None, advantages, torch.ones(2, 3))


def test_grpo_metrics_are_floats():
    log_probs = torch.zeros(2, 3, requires_grad=True)
    result = grpo_loss(log_probs, None, torch.zeros(2, 3), torch.ones(2), torch.ones(2, 3))
    assert result.metrics() == {
        "loss": -1.0, "clip_fraction": 0.0, "clip_fraction_low": 0.0, "clip_fraction_high": 0.0, "kl": 0.0,
        "entropy": 0.0,
    }  # fmt: skip
