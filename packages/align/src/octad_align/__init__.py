"""SFT, DPO and GRPO as pure functions, and verifiers that give them rewards.

Every loss takes tensors of log-probabilities and returns tensors; no model, no trainer, no state. A step of each:

    log_probs = selective_log_softmax(model(tokens)[:, :-1], tokens[:, 1:])
    sft_loss(log_probs, mask, num_tokens=tokens_in_the_step).backward()
    dpo_loss(policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta=0.1).loss.backward()
    advantages = group_advantages(rewards).advantages.flatten()
    grpo_loss(log_probs, old_log_probs, None, advantages, mask, aggregation="dapo").loss.backward()

`cpo_loss`, `simpo_loss`, `orpo_loss`, `kto_loss`, `bradley_terry_loss` and PPO's parts are alike. `verifiers` judges
completions, `tasks` makes instructions with known answers, and `diagnose` names what is wrong in a run.
"""

from octad_align.advantages import GroupAdvantages, group_advantages
from octad_align.diagnostics import Finding, diagnose
from octad_align.dpo import DPO_KINDS, dpo_loss
from octad_align.errors import AlignError
from octad_align.grpo import GrpoLoss, completion_mask, grpo_loss
from octad_align.kto import KtoLoss, kto_loss, kto_reference_point
from octad_align.log_probs import entropy, masked_mean, masked_sum, selective_log_softmax, sequence_log_probs
from octad_align.ppo import (
    Advantages,
    PpoLoss,
    generalized_advantages,
    penalised_rewards,
    ppo_policy_loss,
    ppo_value_loss,
    whiten,
)
from octad_align.preference import PreferenceLoss
from octad_align.reference_free import cpo_loss, orpo_loss, simpo_loss
from octad_align.reward_model import bradley_terry_loss, last_token_scores
from octad_align.sft import sft_loss
from octad_align.tasks import ALL_OPERATIONS, PreferencePair, Task, generate_tasks, preference_pairs, verify
from octad_align.verifiers import Reward, Verifier, answer_format, exact_match, numeric_match

__all__ = [
    "ALL_OPERATIONS",
    "DPO_KINDS",
    "Advantages",
    "AlignError",
    "Finding",
    "GroupAdvantages",
    "GrpoLoss",
    "KtoLoss",
    "PpoLoss",
    "PreferenceLoss",
    "PreferencePair",
    "Reward",
    "Task",
    "Verifier",
    "answer_format",
    "bradley_terry_loss",
    "completion_mask",
    "cpo_loss",
    "diagnose",
    "dpo_loss",
    "entropy",
    "exact_match",
    "generalized_advantages",
    "generate_tasks",
    "group_advantages",
    "grpo_loss",
    "kto_loss",
    "kto_reference_point",
    "last_token_scores",
    "masked_mean",
    "masked_sum",
    "numeric_match",
    "orpo_loss",
    "penalised_rewards",
    "ppo_policy_loss",
    "ppo_value_loss",
    "preference_pairs",
    "selective_log_softmax",
    "sequence_log_probs",
    "sft_loss",
    "simpo_loss",
    "verify",
    "whiten",
]
