"""Every loss against TRL's own code, called without a trainer.

Tolerances: float64 where TRL computes in the dtype it is given, so 1e-10 covers any order of summation; float32 where
it casts (ORPO), 1e-5 relative.
"""

import random
from types import SimpleNamespace

import pytest
import torch
from octad_align import (
    bradley_terry_loss,
    cpo_loss,
    dpo_loss,
    entropy,
    group_advantages,
    grpo_loss,
    kto_loss,
    kto_reference_point,
    orpo_loss,
    selective_log_softmax,
    sequence_log_probs,
    simpo_loss,
)

CLOSE = {"rtol": 1e-10, "atol": 1e-12}


def draw_log_probs(generator, *shape):
    return -5 * torch.rand(*shape, generator=generator, dtype=torch.float64)


def draw_mask(generator, batch, seq):
    lengths = torch.randint(1, seq + 1, (batch, 1), generator=generator)
    return (torch.arange(seq) < lengths).long()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (2, 4, 3)])
def test_selective_log_softmax_and_entropy_match_trl(trl, shape, dtype):
    generator = torch.Generator().manual_seed(sum(shape))
    logits = 4 * torch.randn(*shape, 17, generator=generator, dtype=dtype)
    targets = torch.randint(0, 17, shape, generator=generator)
    theirs = trl.utils.selective_log_softmax(logits, targets, temperature=0.7)
    tolerance = {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else CLOSE
    torch.testing.assert_close(selective_log_softmax(logits, targets, temperature=0.7), theirs, **tolerance)
    torch.testing.assert_close(entropy(logits), trl.utils.entropy_from_logits(logits), **tolerance)


def grpo_stub(trl, accelerator, metrics, log_probs, entropies, **settings):
    args = SimpleNamespace(
        use_bias_correction_kl=False, delta=None, steps_per_generation=1, entropy_coef_min=0.0, entropy_target=0.0
    )
    defaults = {
        "accelerator": accelerator,
        "_metrics": metrics,
        "args": args,
        "model": SimpleNamespace(training=True),
        "aux_loss_enabled": False,
        "top_entropy_quantile": 1.0,
        "off_policy_mask_threshold": None,
        "use_vllm": False,
        "current_gradient_accumulation_steps": 1,
        "use_adaptive_entropy": False,
        "_entropy_bonus_enabled": settings["entropy_coef"] > 0,
        "_get_per_token_logps_and_entropies": lambda *a, **k: (log_probs, entropies, None),
    }
    accelerator.sync_gradients = False
    return SimpleNamespace(**defaults, **settings)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("importance", ["token", "sequence"])
@pytest.mark.parametrize("aggregation", ["grpo", "bnpo", "dr_grpo", "dapo"])
def test_grpo_loss_gradient_and_metrics_match_trl(trl, accelerator, metrics, aggregation, importance, seed):
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    batch, seq = rng.randint(1, 7), rng.randint(1, 9)
    beta, low, high = rng.choice([0.0, 0.04, 1.0]), rng.choice([0.1, 0.2]), rng.choice([0.2, 0.28])
    entropy_weight = rng.choice([0.0, 0.01])
    mask = draw_mask(generator, batch, seq)
    log_probs = draw_log_probs(generator, batch, seq).requires_grad_()
    old = log_probs.detach() + 0.4 * torch.randn(batch, seq, generator=generator, dtype=torch.float64)
    reference = draw_log_probs(generator, batch, seq)
    entropies = torch.rand(batch, seq, generator=generator, dtype=torch.float64)
    advantages = torch.randn(batch, generator=generator, dtype=torch.float64)
    num_tokens = int(mask.sum()) + 3

    stub = grpo_stub(
        trl, accelerator, metrics, log_probs, entropies,
        beta=beta, epsilon_low=low, epsilon_high=high, loss_type=aggregation, importance_sampling_level=importance,
        max_completion_length=seq + 2, entropy_coef=entropy_weight,
    )  # fmt: skip
    inputs = {
        "prompt_ids": mask,
        "prompt_mask": mask,
        "completion_ids": mask,
        "completion_mask": mask,
        "advantages": advantages,
        "old_per_token_logps": old,
        "ref_per_token_logps": reference,
        "num_items_in_batch": torch.tensor(float(num_tokens)),
    }
    theirs = trl.GRPOTrainer._compute_loss(stub, None, inputs)
    (their_gradient,) = torch.autograd.grad(theirs, log_probs)
    ours = grpo_loss(
        log_probs, old, reference, advantages, mask,
        clip_low=low, clip_high=high, beta=beta, aggregation=aggregation, importance=importance,
        max_completion_length=seq + 2, num_tokens=num_tokens if aggregation == "dapo" else None,
        entropy=entropies, entropy_weight=entropy_weight,
    )  # fmt: skip
    (our_gradient,) = torch.autograd.grad(ours.loss, log_probs)
    torch.testing.assert_close(ours.loss, theirs, **CLOSE)
    torch.testing.assert_close(our_gradient, their_gradient, **CLOSE)
    logged = metrics["train"]
    # fractions of float32 flags: 1e-6
    assert float(ours.clip_fraction_low) == pytest.approx(logged["clip_ratio/low_mean"][0], abs=1e-6)
    assert float(ours.clip_fraction_high) == pytest.approx(logged["clip_ratio/high_mean"][0], abs=1e-6)
    assert float(ours.clip_fraction) == pytest.approx(logged["clip_ratio/region_mean"][0], abs=1e-6)
    assert float(ours.entropy) == pytest.approx(logged["entropy"][0], rel=1e-6)
    if beta:
        assert float(ours.kl) == pytest.approx(logged["kl"][0], rel=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_grpo_without_old_log_probs_matches_trl(trl, accelerator, metrics, seed):
    generator = torch.Generator().manual_seed(seed)
    mask = draw_mask(generator, 4, 6)
    log_probs = draw_log_probs(generator, 4, 6).requires_grad_()
    advantages = torch.randn(4, generator=generator, dtype=torch.float64)
    stub = grpo_stub(
        trl, accelerator, metrics, log_probs, log_probs.detach(),
        beta=0.0, epsilon_low=0.2, epsilon_high=0.2, loss_type="grpo", importance_sampling_level="token",
        entropy_coef=0.0,
    )  # fmt: skip
    inputs = dict.fromkeys(["prompt_ids", "prompt_mask", "completion_ids", "completion_mask"], mask)
    theirs = trl.GRPOTrainer._compute_loss(stub, None, {**inputs, "advantages": advantages})
    ours = grpo_loss(log_probs, None, None, advantages, mask)
    torch.testing.assert_close(ours.loss, theirs, **CLOSE)
    torch.testing.assert_close(
        torch.autograd.grad(ours.loss, log_probs)[0], torch.autograd.grad(theirs, log_probs)[0], **CLOSE
    )


@pytest.mark.parametrize("scale", ["std", "batch", "none"])
def test_group_advantages_follow_trl_conventions(trl, scale):
    generator = torch.Generator().manual_seed(3)
    rewards = torch.rand(5, 4, generator=generator, dtype=torch.float64)
    rewards[1] = 0.25
    rewards[2, 1] = torch.nan
    # the three lines of TRL's trainer that make advantages, on its own nanstd
    centred = rewards - rewards.nanmean(1, keepdim=True)
    group_std = trl.utils.nanstd(rewards, dim=1).unsqueeze(1)
    std = {"std": group_std, "batch": trl.utils.nanstd(rewards), "none": None}[scale]
    theirs = torch.nan_to_num(centred if std is None else centred / (std + 1e-4), nan=0.0)
    ours = group_advantages(rewards, scale=scale)
    # TRL's n / (n - 1) is a quotient of integers, rounded to float32
    torch.testing.assert_close(ours.advantages, theirs, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(ours.stds, group_std.squeeze(1), rtol=1e-6, atol=1e-6)
    assert ours.num_constant_groups == 1


def dpo_oracle(trl, accelerator, metrics, kind, log_probs, reference, mask, beta, label_smoothing):
    # the first column stands for the prompt: TRL drops it when it shifts the mask
    padded_mask = torch.cat([torch.zeros_like(mask[:, :1]), mask], 1)

    def model(values):
        kept = values * mask
        outputs = SimpleNamespace(log_probs=kept, entropy=kept, mean_logits=kept, is_top1=mask.bool())
        return lambda **kwargs: outputs

    stub = SimpleNamespace(
        model=torch.nn.Linear(1, 1), ref_model=model(reference), accelerator=accelerator, _metrics=metrics,
        aux_loss_enabled=False, ld_alpha=None, precompute_ref_logps=False, f_divergence_type="reverse_kl",
        loss_types=kind if isinstance(kind, list) else [kind], loss_weights=[1.0, 0.3][: len(kind)], beta=beta,
        label_smoothing=label_smoothing, use_weighting=False, _total_train_tokens=0, _tp_size=1,
        args=SimpleNamespace(gradient_checkpointing_kwargs=None),
    )  # fmt: skip
    if not isinstance(kind, list):
        stub.loss_weights = [1.0]
    stub.model.is_gradient_checkpointing = False
    inputs = {"input_ids": padded_mask, "attention_mask": padded_mask, "completion_mask": padded_mask}
    return trl.DPOTrainer._compute_loss(stub, model(log_probs), inputs, False)


KINDS = [
    "sigmoid",
    "sigmoid_norm",
    "robust",
    "hinge",
    "ipo",
    "exo_pair",
    "nca_pair",
    "sppo_hard",
    "apo_zero",
    "apo_down",
]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", [*KINDS, ["sigmoid", "sft"]], ids=str)
def test_dpo_loss_and_gradient_match_trl(trl, accelerator, metrics, kind, seed):
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    pairs, seq = rng.randint(1, 6), rng.randint(1, 8)
    beta = rng.choice([0.05, 0.1, 0.5, 2.0])
    # TRL has no label smoothing in its sigmoid; ours (conservative DPO) is tested against the formula
    label_smoothing = rng.choice([0.05, 0.2]) if kind in ("robust", "exo_pair") else 0.0
    mask = draw_mask(generator, 2 * pairs, seq)
    log_probs = draw_log_probs(generator, 2 * pairs, seq).requires_grad_()
    reference = draw_log_probs(generator, 2 * pairs, seq)
    accelerator.unwrap_model = lambda model: model
    theirs = dpo_oracle(trl, accelerator, metrics, kind, log_probs, reference, mask, beta, label_smoothing)
    policy, frozen = sequence_log_probs(log_probs, mask), sequence_log_probs(reference, mask)
    lengths = mask.sum(1)
    ours = dpo_loss(
        *policy.chunk(2), *frozen.chunk(2), beta=beta, label_smoothing=label_smoothing,
        kind="sigmoid" if isinstance(kind, list) else kind, nll_weight=0.3 if isinstance(kind, list) else 0.0,
        chosen_lengths=lengths[:pairs], rejected_lengths=lengths[pairs:],
    )  # fmt: skip
    # TRL takes exo_pair's logarithms in float32
    tolerance = {"rtol": 1e-6, "atol": 1e-6} if kind == "exo_pair" else CLOSE
    torch.testing.assert_close(ours.loss, theirs, **tolerance)
    torch.testing.assert_close(
        torch.autograd.grad(ours.loss, log_probs)[0], torch.autograd.grad(theirs, log_probs)[0], **tolerance
    )
    logged = metrics["train"]
    assert ours.accuracy == pytest.approx(logged["rewards/accuracies"][0], rel=1e-6)  # TRL's mean is float32
    assert ours.margin == pytest.approx(logged["rewards/margins"][0], rel=1e-6, abs=1e-9)
    assert float(ours.chosen_rewards.mean()) == pytest.approx(logged["rewards/chosen"][0], rel=1e-6)


@pytest.mark.parametrize("num_desirable", [0, 2, 5])
def test_kto_loss_matches_trl(trl, accelerator, metrics, num_desirable):
    generator = torch.Generator().manual_seed(num_desirable)
    batch, seq, beta = 5, 4, 0.3
    is_desirable = torch.arange(batch) < num_desirable
    log_probs = draw_log_probs(generator, batch, seq).requires_grad_()
    reference = draw_log_probs(generator, batch, seq)
    mismatched, reference_mismatched = draw_log_probs(generator, batch) + 2, draw_log_probs(generator, batch)
    completion = torch.ones(batch, seq + 1, dtype=torch.long)
    outputs = SimpleNamespace(log_probs=log_probs, entropy=log_probs, mean_logits=log_probs)
    stub = SimpleNamespace(
        model=SimpleNamespace(training=True), accelerator=accelerator, _metrics=metrics, aux_loss_enabled=False,
        precompute_ref_logps=True, calculate_KL=True, loss_type="kto", beta=beta, desirable_weight=1.3,
        undesirable_weight=0.7, _total_train_tokens=0, _tp_size=1, ref_model=None,
        _compute_kl_logps=lambda model, batch: mismatched,
    )  # fmt: skip
    inputs = {
        "label": is_desirable, "input_ids": completion, "attention_mask": completion, "completion_mask": completion,
        "ref_logps": reference.sum(1), "ref_KL_logps": reference_mismatched,
    }  # fmt: skip
    theirs = trl.KTOTrainer._compute_loss(stub, lambda **kwargs: outputs, inputs, False)
    point = kto_reference_point(mismatched, reference_mismatched)
    ours = kto_loss(
        log_probs.sum(1), reference.sum(1), is_desirable,
        reference_point=point, beta=beta, desirable_weight=1.3, undesirable_weight=0.7,
    )  # fmt: skip
    assert float(point) > 0
    # an empty side is float32 in TRL and its concatenation may be too
    torch.testing.assert_close(ours.loss, theirs, rtol=1e-6, atol=1e-6, check_dtype=False)
    torch.testing.assert_close(
        torch.autograd.grad(ours.loss, log_probs)[0], torch.autograd.grad(theirs, log_probs)[0], rtol=1e-6, atol=1e-6
    )


# TRL ignores label smoothing in hinge and ipo; octad_align refuses it
@pytest.mark.parametrize(
    ("kind", "label_smoothing"),
    [("sigmoid", 0.0), ("sigmoid", 0.1), ("simpo", 0.0), ("simpo", 0.1), ("hinge", 0.0), ("ipo", 0.0)],
)
def test_cpo_and_simpo_losses_match_trl(trl, accelerator, kind, label_smoothing):
    generator = torch.Generator().manual_seed(5)
    chosen, rejected = draw_log_probs(generator, 7).requires_grad_(), draw_log_probs(generator, 7)
    stub = SimpleNamespace(
        alpha=0.0, accelerator=accelerator, loss_type=kind, beta=0.7, label_smoothing=label_smoothing, simpo_gamma=0.4
    )
    losses, chosen_rewards, _ = trl.CPOTrainer.cpo_loss(stub, chosen, rejected)
    if kind == "simpo":
        ours = simpo_loss(chosen, rejected, beta=0.7, gamma=0.4, label_smoothing=label_smoothing)
    else:
        ours = cpo_loss(chosen, rejected, beta=0.7, kind=kind, label_smoothing=label_smoothing, nll_weight=0.0)
    torch.testing.assert_close(ours.losses, losses, **CLOSE)
    torch.testing.assert_close(ours.chosen_rewards, chosen_rewards, **CLOSE)
    torch.testing.assert_close(
        torch.autograd.grad(ours.loss, chosen)[0], torch.autograd.grad(losses.mean(), chosen)[0], **CLOSE
    )


def test_orpo_odds_ratio_matches_trl(trl, accelerator):
    generator = torch.Generator().manual_seed(6)
    chosen = (-(10 ** torch.linspace(-4, 1, 9))).requires_grad_()
    rejected = draw_log_probs(generator, 9).float() - 0.01
    stub = SimpleNamespace(accelerator=accelerator, beta=0.4)
    minus_losses, *_ = trl.ORPOTrainer.odds_ratio_loss(stub, chosen, rejected)
    ours = orpo_loss(chosen, rejected, beta=0.4, nll_weight=0.0)
    torch.testing.assert_close(ours.losses, -minus_losses, rtol=1e-5, atol=1e-6)
    full = orpo_loss(chosen, rejected, beta=0.4)
    torch.testing.assert_close(full.loss, -chosen.mean() - minus_losses.mean(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("centering", [None, 0.01])
@pytest.mark.parametrize("has_margin", [False, True])
def test_bradley_terry_loss_matches_trl(trl, accelerator, metrics, has_margin, centering):
    generator = torch.Generator().manual_seed(7)
    scores = (3 * torch.randn(10, 1, generator=generator, dtype=torch.float64)).requires_grad_()
    margin = torch.rand(5, generator=generator, dtype=torch.float64)
    stub = SimpleNamespace(
        model=SimpleNamespace(training=True), accelerator=accelerator, _metrics=metrics, _total_train_tokens=0,
        _tp_size=1, args=SimpleNamespace(center_rewards_coefficient=centering),
    )  # fmt: skip
    inputs = {"attention_mask": torch.ones(10, 3)} | ({"margin": margin} if has_margin else {})
    theirs = trl.RewardTrainer.compute_loss(stub, lambda **kwargs: SimpleNamespace(logits=scores), inputs)
    chosen, rejected = scores.squeeze(-1).chunk(2)
    ours = bradley_terry_loss(chosen, rejected, margin=margin if has_margin else None, centering=centering or 0.0)
    torch.testing.assert_close(ours.loss, theirs, **CLOSE)
    torch.testing.assert_close(
        torch.autograd.grad(ours.loss, scores)[0], torch.autograd.grad(theirs, scores)[0], **CLOSE
    )
    assert ours.accuracy == pytest.approx(metrics["train"]["accuracy"][0], rel=1e-6)
    assert ours.margin == pytest.approx(metrics["train"]["margin"][0], rel=1e-6)
