"""Bits per byte on held-out text and exact match on held-out instructions, each with its standard error."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from octad_align import Task, verify
from octad_arch import DecoderModel, token_log_probs
from octad_data import TokenShards
from octad_infer import Sampling, generate

from octad.model import ChatModel

WINDOWS_A_BATCH = 32


@dataclass(frozen=True)
class Estimate:
    """A mean and its standard error."""

    value: float
    error: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ± {self.error:.3f}"


@dataclass(frozen=True)
class Answers:
    """What a model answered to held-out instructions."""

    texts: tuple[str, ...]
    is_right: tuple[bool, ...]
    operations: tuple[str, ...]

    @property
    def exact_match(self) -> Estimate:
        """Share of right answers; the error is the binomial one."""
        share = sum(self.is_right) / len(self.is_right)
        return Estimate(share, math.sqrt(share * (1 - share) / len(self.is_right)))

    def by_operation(self) -> dict[str, float]:
        """Share of right answers of each operation."""
        groups: dict[str, list[bool]] = defaultdict(list)
        for operation, right in zip(self.operations, self.is_right, strict=True):
            groups[operation].append(right)
        return {name: sum(group) / len(group) for name, group in sorted(groups.items())}


@torch.no_grad()
def bits_per_byte(model: DecoderModel, shards: TokenShards, max_tokens: int, context: int) -> Estimate:
    """Sum over tokens of -log2 p(token | at least context/2 before it) over the bytes that the tokens stand for.

    Windows of `context` tokens overlap by half and only the second half of each counts, so that no token is judged
    without a past (but those of the first window). The error treats windows as independent.
    """
    device = next(model.parameters()).device
    ids = shards.tokens(0, min(max_tokens, shards.num_tokens)).astype(np.int64)
    stride = context // 2
    starts = range(0, max(1, len(ids) - 1), stride)
    bits = [0.0] * len(starts)
    rows = [torch.from_numpy(ids[max(0, s - stride) : s + stride + 1]) for s in starts]
    for begin in range(0, len(rows), WINDOWS_A_BATCH):
        group = rows[begin : begin + WINDOWS_A_BATCH]
        tokens = torch.nn.utils.rnn.pad_sequence(group, batch_first=True).to(device)
        log_probs = token_log_probs(model.hidden(tokens[:, :-1]), model.output_weight, tokens[:, 1:]).double()
        for offset, row in enumerate(group):
            first = 0 if begin + offset == 0 else stride
            bits[begin + offset] = -float(log_probs[offset, first : len(row) - 1].sum()) / math.log(2)
    share = len(ids) / shards.num_tokens
    size = (shards.manifest.source_bytes or 0) * share
    mean, spread = sum(bits) / len(bits), float(np.std(bits))
    return Estimate(sum(bits) / size, spread / mean / math.sqrt(len(bits)) * sum(bits) / size)


def answer(chat_model: ChatModel, tasks: Sequence[Task], max_new_tokens: int, batch_size: int = 128) -> Answers:
    """Greedy answers to instructions, judged by the verifier."""
    chat = chat_model.chat
    completions = generate(
        chat_model.model,
        [chat.instruction(task.prompt) for task in tasks],
        max_new_tokens=max_new_tokens,
        sampling=Sampling(temperature=0.0),
        stop_ids=chat.stop_ids,
        batch_size=batch_size,
        max_len=chat_model.context,
    )
    texts = tuple(chat.text(completion.tokens) for completion in completions)
    is_right = tuple(
        completion.finish_reason == "stop" and verify(task, text).value == 1.0
        for task, text, completion in zip(tasks, texts, completions, strict=True)
    )
    return Answers(texts, is_right, tuple(task.operation for task in tasks))
