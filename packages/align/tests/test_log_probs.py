"""Log-probabilities, masked means and the SFT loss."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_align import (
    AlignError,
    completion_mask,
    entropy,
    masked_mean,
    masked_sum,
    selective_log_softmax,
    sequence_log_probs,
    sft_loss,
)


@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (2, 5), (3, 2, 4)])
def test_selective_log_softmax_matches_gather_of_log_softmax(shape):
    generator = torch.Generator().manual_seed(0)
    logits = (10 * torch.randn(*shape, 7, generator=generator, dtype=torch.float64)).requires_grad_()
    targets = torch.randint(0, 7, shape, generator=generator)
    expected = logits.log_softmax(-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    ours = selective_log_softmax(logits, targets)
    torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(
        torch.autograd.grad(ours.sum(), logits)[0], torch.autograd.grad(expected.sum(), logits)[0]
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_selective_log_softmax_widens_16_bit_logits(dtype):
    logits = torch.randn(4, 11, generator=torch.Generator().manual_seed(1)).to(dtype)
    targets = torch.tensor([0, 3, 10, 5])
    ours = selective_log_softmax(logits, targets)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, selective_log_softmax(logits.float(), targets), rtol=0, atol=0)


def test_selective_log_softmax_reads_non_contiguous_logits():
    logits = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(2)).transpose(0, 2)
    targets = torch.zeros(4, 3, dtype=torch.long)
    torch.testing.assert_close(
        selective_log_softmax(logits, targets), selective_log_softmax(logits.contiguous(), targets)
    )


def test_selective_log_softmax_gives_ignored_targets_zero_and_no_gradient():
    logits = torch.randn(2, 3, 5, requires_grad=True)
    targets = torch.tensor([[0, -100, 2], [-100, -100, 4]])
    ours = selective_log_softmax(logits, targets)
    assert (ours[targets == -100] == 0).all()
    ours.sum().backward()
    assert (logits.grad[targets == -100] == 0).all()


@pytest.mark.parametrize("target", [-1, 5])
def test_selective_log_softmax_refuses_a_target_outside_the_vocabulary(target):
    with pytest.raises(AlignError, match=rf"target {target} is outside \[0, 5\)"):
        selective_log_softmax(torch.zeros(1, 5), torch.tensor([target]))
    with pytest.raises(AlignError, match="shape"):
        selective_log_softmax(torch.zeros(2, 5), torch.tensor([1]))
    with pytest.raises(AlignError, match="temperature"):
        selective_log_softmax(torch.zeros(1, 5), torch.tensor([1]), temperature=0.0)


@given(vocab=st.integers(1, 50))
def test_entropy_of_equal_logits_is_log_vocab(vocab):
    assert float(entropy(torch.zeros(vocab, dtype=torch.float64))) == pytest.approx(math.log(vocab), abs=1e-12)


def test_entropy_allows_forbidden_tokens():
    logits = torch.tensor([0.0, 0.0, -torch.inf, -torch.inf], requires_grad=True)
    value = entropy(logits)
    value.backward()
    assert float(value.detach()) == pytest.approx(math.log(2), rel=1e-6)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("poison", [torch.inf, -torch.inf, torch.nan])
@pytest.mark.parametrize("dtype", [torch.bool, torch.long, torch.float32])
def test_masked_mean_never_reads_a_masked_value(poison, dtype):
    values = torch.tensor([[1.0, poison], [3.0, 5.0]], requires_grad=True)
    mask = torch.tensor([[1, 0], [1, 1]]).to(dtype)
    assert float(masked_mean(values, mask).detach()) == 3.0
    assert masked_sum(values, mask, -1).tolist() == [1.0, 8.0]
    masked_mean(values, mask).backward()
    assert torch.isfinite(values.grad).all()


def test_masked_mean_of_nothing_is_zero():
    assert float(masked_mean(torch.ones(2, 0), torch.ones(2, 0))) == 0
    assert masked_mean(torch.ones(2, 3), torch.zeros(2, 3), -1).tolist() == [0, 0]
    assert sequence_log_probs(torch.ones(2, 3), torch.zeros(2, 3), average=True).tolist() == [0, 0]


def test_masked_sum_names_both_shapes():
    with pytest.raises(AlignError, match=r"\(2, 2\).*\(2, 3\)"):
        masked_sum(torch.ones(2, 3), torch.ones(2, 2))


def test_sft_loss_matches_torch_cross_entropy():
    generator = torch.Generator().manual_seed(4)
    logits = torch.randn(3, 6, 9, generator=generator, dtype=torch.float64)
    targets = torch.randint(0, 9, (3, 6), generator=generator)
    targets[0, 3:] = -100
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
    ours = sft_loss(selective_log_softmax(logits, targets), targets != -100)
    torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), split=st.integers(1, 5))
def test_sft_loss_of_micro_batches_adds_up_to_the_whole_batch(seed, split):
    generator = torch.Generator().manual_seed(seed)
    log_probs = -torch.rand(6, 4, generator=generator, dtype=torch.float64)
    mask = torch.rand(6, 4, generator=generator) < 0.6
    num_tokens = max(int(mask.sum()), 1)
    parts = sum(
        sft_loss(log_probs[part], mask[part], num_tokens=num_tokens) for part in (slice(0, split), slice(split, 6))
    )
    torch.testing.assert_close(parts, sft_loss(log_probs, mask), rtol=1e-12, atol=1e-12)


def test_sft_loss_reductions_weigh_tokens_or_sequences():
    log_probs = torch.tensor([[-1.0, -3.0], [-5.0, -100.0], [-7.0, -7.0]])
    mask = torch.tensor([[1, 1], [1, 0], [0, 0]])
    assert float(sft_loss(log_probs, mask)) == pytest.approx(3.0)
    assert float(sft_loss(log_probs, mask, reduction="sequence_mean")) == pytest.approx((2 + 5) / 2)
    assert float(sft_loss(log_probs, mask, reduction="sum")) == pytest.approx(9.0)
    assert float(sft_loss(log_probs, mask, num_tokens=torch.tensor(9))) == pytest.approx(1.0)


def test_sft_loss_of_an_empty_mask_is_zero_with_a_graph():
    log_probs = torch.randn(2, 3, requires_grad=True)
    sft_loss(log_probs, torch.zeros(2, 3)).backward()
    assert (log_probs.grad == 0).all()


def test_sft_loss_refuses_what_makes_no_sense():
    log_probs = torch.zeros(2, 3)
    with pytest.raises(AlignError, match="num_tokens=0"):
        sft_loss(log_probs, log_probs, num_tokens=0)
    with pytest.raises(AlignError, match="no use"):
        sft_loss(log_probs, log_probs, num_tokens=3, reduction="sum")
    with pytest.raises(AlignError, match="token_mean, sequence_mean, sum"):
        sft_loss(log_probs, log_probs, reduction="mean")
    with pytest.raises(AlignError, match="shape"):
        sft_loss(log_probs, torch.zeros(2, 2))


def test_completion_mask_keeps_the_first_end_token():
    tokens = torch.tensor([[5, 2, 9, 2], [2, 2, 2, 2], [5, 5, 5, 5]])
    assert completion_mask(tokens, 2).tolist() == [[True, True, False, False], [True] + [False] * 3, [True] * 4]
