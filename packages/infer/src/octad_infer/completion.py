"""What generation returns."""

from dataclasses import dataclass
from typing import Literal

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class Completion:
    """One sampled continuation of one prompt.

    Attributes:
        prompt_index: which prompt it continues.
        tokens: the new token ids; a stop token that ended it is the last of them.
        log_probs: log p(token | all before it) in nats under the model itself: the log-softmax of the raw logits,
            before temperature, filters and repetition penalty. This is what importance ratios (PPO, GRPO) divide by.
        finish_reason: "stop" if a stop token came, "length" if max_new_tokens did.
    """

    prompt_index: int
    tokens: list[int]
    log_probs: list[float]
    finish_reason: FinishReason


@dataclass(frozen=True)
class Event:
    """One token of one sample, as it is drawn; `finish_reason` is None unless it is the sample's last."""

    prompt_index: int
    sample_index: int
    token: int
    log_prob: float
    finish_reason: FinishReason | None
