"""Bits per byte on held-out text and exact match on held-out instructions, each with its standard error."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from octad_align import Task, verify
from octad_arch import DecoderModel
from octad_arch.classic import ByteNGram
from octad_data import TokenShards
from octad_infer import Sampling, generate
from octad_tokenizer import BytePairTokenizer

from octad.chat_format import ChatTokenizer
from octad.errors import OctadError
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
        """Share p of right answers, with the binomial error sqrt(p (1 - p) / n).

        Where none or all are right that error would be 0, as if nothing were left to doubt: there it is the error of
        half an answer more or less, p = 1 / (2 n + 2) or one minus that.
        """
        right, n = sum(self.is_right), len(self.is_right)
        p = right / n if 0 < right < n else 0.5 / (n + 1)
        return Estimate(right / n, math.sqrt(p * (1 - p) / n))

    def change_from(self, before: Answers) -> Estimate:
        """Mean of the differences, instruction by instruction: what both find hard or easy cancels out of the error."""
        if len(before.is_right) != len(self.is_right):
            sizes = f"{len(before.is_right)} and {len(self.is_right)}"
            raise OctadError(f"{sizes} answers are not to the same instructions; ask both models the same")
        return mean_and_error(np.subtract(self.is_right, before.is_right, dtype=float))

    def by_operation(self) -> dict[str, float]:
        """Share of right answers of each operation."""
        groups: dict[str, list[bool]] = defaultdict(list)
        for operation, right in zip(self.operations, self.is_right, strict=True):
            groups[operation].append(right)
        return {name: sum(group) / len(group) for name, group in sorted(groups.items())}


@dataclass(frozen=True)
class HeldOutText:
    """The stretch of held-out text that models and baselines are both measured on.

    Attributes:
        ids: its tokens, documents apart by the separator, which also stands before the first.
        text: its bytes, a newline in the place of every separator.
        size_bytes: of the text alone: the ends of documents cost bits, but are no bytes of it.
    """

    ids: NDArray[np.int64]
    text: bytes
    size_bytes: int

    @classmethod
    def of(cls, shards: TokenShards, tokenizer: BytePairTokenizer, max_tokens: int) -> HeldOutText:
        """The first `max_tokens` tokens of the shards."""
        ids = shards.tokens(0, min(max_tokens, shards.num_tokens)).astype(np.int64)
        separator = shards.manifest.separator_id
        if separator is None:
            text = tokenizer.decode_bytes(ids.tolist())
            return cls(ids, text, len(text))
        ends = np.flatnonzero(ids == separator)
        pieces = [tokenizer.decode_bytes(part[part != separator].tolist()) for part in np.split(ids, ends)]
        return cls(np.insert(ids, 0, separator), b"\n".join(pieces), sum(len(piece) for piece in pieces))


def mean_and_error(values: ArrayLike) -> Estimate:
    """The mean, and the standard deviation over the square root of n."""
    array = np.asarray(values, dtype=float)
    return Estimate(float(array.mean()), float(array.std()) / math.sqrt(len(array)))


@torch.no_grad()
def bits_per_byte(model: DecoderModel, held_out: HeldOutText, context: int) -> Estimate:
    """Sum over tokens of -log2 p(token | at least context/2 before it) over the bytes that the tokens stand for.

    Windows of `context` tokens overlap by half and only the second half of each counts, so that no token is judged
    without a past (but those of the first window). The error treats windows as independent.
    """
    device, ids, stride = next(model.parameters()).device, held_out.ids, context // 2
    starts = range(0, max(1, len(ids) - 1), stride)
    bits = np.zeros(len(starts))
    rows = [torch.from_numpy(ids[max(0, s - stride) : s + stride + 1]) for s in starts]
    for begin in range(0, len(rows), WINDOWS_A_BATCH):
        group = rows[begin : begin + WINDOWS_A_BATCH]
        tokens = torch.nn.utils.rnn.pad_sequence(group, batch_first=True).to(device)
        log_probs = model.token_log_probs(model.hidden(tokens[:, :-1]), tokens[:, 1:]).double()
        for offset, row in enumerate(group):
            first = 0 if begin + offset == 0 else stride
            bits[begin + offset] = -float(log_probs[offset, first : len(row) - 1].sum()) / math.log(2)
    return _over_bytes(bits, held_out.size_bytes)


def ngram_bits_per_byte(ngram: ByteNGram, held_out: HeldOutText, windows: int) -> Estimate:
    """What `bits_per_byte` says of a model, of one that counts bytes; the error is over as many windows."""
    bits = -np.log2(ngram.probabilities(held_out.text))
    return _over_bytes([part.sum() for part in np.array_split(bits, windows)], held_out.size_bytes)


def byte_entropy_per_byte(held_out: HeldOutText, windows: int) -> Estimate:
    """-sum_b p(b) log2 p(b) of the text itself, the best that is possible without any context."""
    data = np.frombuffer(held_out.text, np.uint8)
    share = np.bincount(data, minlength=256) / max(1, len(data))
    bits = -np.log2(share[data])
    return _over_bytes([part.sum() for part in np.array_split(bits, windows)], held_out.size_bytes)


def _over_bytes(bits: ArrayLike, size_bytes: int) -> Estimate:
    """The sum of the windows' bits over the bytes, with the error of a sum of independent windows."""
    windows = np.asarray(bits, dtype=float)
    size = max(1, size_bytes)
    return Estimate(float(windows.sum()) / size, float(windows.std()) * math.sqrt(len(windows)) / size)


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


def continue_text(chat_model: ChatModel, prompt: Sequence[int], max_new_tokens: int, seed: int) -> str:
    """How the model goes on after `prompt` as plain text, drawn at a temperature of 0.8."""
    chat: ChatTokenizer = chat_model.chat
    (completion,) = generate(
        chat_model.model,
        [prompt],
        max_new_tokens=max_new_tokens,
        sampling=Sampling(temperature=0.8),
        stop_ids=chat.stop_ids,
        max_len=chat_model.context,
        seed=seed,
    )
    return chat.text(completion.tokens)
