"""From logits to a token: penalties, temperature, filters, and one uniform number a row.

Every filter is a pure function on (..., vocab) that sets what it removes to -inf, and equals Hugging Face's processor
of the same name. They are applied in Hugging Face's order: repetition penalty, temperature, top-k, top-p, min-p.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from octad_infer.errors import InferError


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn.

    Attributes:
        temperature: logits are divided by it; 0 is greedy, the most likely token; else >= 1e-6, for float32's range.
        top_k: keep the k most likely tokens, >= 1; None keeps all.
        top_p: keep the smallest set of most likely tokens whose probability reaches it, in (0, 1]; 1 keeps all.
        min_p: keep tokens at least this fraction as likely as the most likely one, in [0, 1]; 0 keeps all.
        repetition_penalty: > 0; positive logits of tokens seen so far are divided by it, negative ones multiplied.

    Raises:
        InferError: a value is out of range.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        if self.temperature != 0 and not 1e-6 <= self.temperature < float("inf"):
            raise InferError(f"temperature={self.temperature} is neither 0 nor a finite number >= 1e-6; 0 is greedy")
        if self.top_k is not None and (not isinstance(self.top_k, int) or self.top_k < 1):
            raise InferError(f"top_k={self.top_k} must be an integer >= 1; use None to keep every token")
        if not 0 < self.top_p <= 1:
            raise InferError(f"top_p={self.top_p} is not in (0, 1]; use 1 to keep every token")
        if not 0 <= self.min_p <= 1:
            raise InferError(f"min_p={self.min_p} is not in [0, 1]; use 0 to keep every token")
        if not 0 < self.repetition_penalty < float("inf"):
            raise InferError(f"repetition_penalty={self.repetition_penalty} is not a finite number > 0; use 1 for none")

    @property
    def is_greedy(self) -> bool:
        """Whether the most likely token is taken."""
        return self.temperature == 0


def penalize_repetition(
    logits: Float[Tensor, "... vocab"], seen: Bool[Tensor, "... vocab"], penalty: float
) -> Float[Tensor, "... vocab"]:
    """Where seen: logits / penalty if logits > 0, else logits * penalty.

    Source: Keskar et al. 2019, CTRL, section 4.1 (arXiv 1909.05858).
    """
    return torch.where(seen, torch.where(logits < 0, logits * penalty, logits / penalty), logits)


def keep_top_k(logits: Float[Tensor, "... vocab"], k: int) -> Float[Tensor, "... vocab"]:
    """Keep the k largest logits and whatever ties with the smallest of them; all if k >= vocab.

    Source: Fan et al. 2018 (arXiv 1805.04833).
    """
    if k >= logits.shape[-1]:
        return logits
    smallest = logits.topk(k, dim=-1).values[..., -1:]
    return logits.masked_fill(logits < smallest, float("-inf"))


def keep_top_p(logits: Float[Tensor, "... vocab"], p: float) -> Float[Tensor, "... vocab"]:
    """Keep the nucleus: the fewest most likely tokens whose probabilities sum to p or more, at least one.

    Cost: one sort of the vocabulary a row.
    Source: Holtzman et al. 2020 (arXiv 1904.09751).
    """
    if p >= 1:
        return logits
    ascending, order = logits.sort(dim=-1)
    is_tail = ascending.softmax(-1).cumsum(-1) <= 1 - p
    is_tail[..., -1] = False
    return logits.masked_fill(is_tail.scatter(-1, order, is_tail), float("-inf"))


def keep_min_p(logits: Float[Tensor, "... vocab"], min_p: float) -> Float[Tensor, "... vocab"]:
    """Keep tokens whose probability is at least min_p times the largest.

    Source: Nguyen et al. 2024 (arXiv 2407.01082).
    """
    if min_p <= 0:
        return logits
    probabilities = logits.softmax(-1)
    return logits.masked_fill(probabilities < min_p * probabilities.amax(-1, keepdim=True), float("-inf"))


def filter_logits(
    logits: Float[Tensor, "... vocab"], sampling: Sampling, seen: Bool[Tensor, "... vocab"] | None = None
) -> Float[Tensor, "... vocab"]:
    """The logits of the distribution that is sampled: penalty, temperature, top-k, top-p and min-p, in this order.

    Args:
        logits: of the model.
        sampling: the settings; at temperature 0 only the penalty applies.
        seen: tokens in the prompt or generated so far.

    Raises:
        InferError: a repetition penalty without `seen`.
    """
    if sampling.repetition_penalty != 1:
        if seen is None:
            raise InferError(
                f"repetition_penalty={sampling.repetition_penalty} needs seen; pass seen_tokens(tokens, vocab)"
            )
        logits = penalize_repetition(logits, seen, sampling.repetition_penalty)
    if sampling.is_greedy:
        return logits
    logits = logits / sampling.temperature
    if sampling.top_k is not None:
        logits = keep_top_k(logits, sampling.top_k)
    return keep_min_p(keep_top_p(logits, sampling.top_p), sampling.min_p)


def seen_tokens(tokens: Int[Tensor, "batch seq"], vocab: int) -> Bool[Tensor, "batch vocab"]:
    """True at every token id that occurs in its row; -1 is padding."""
    counts = torch.zeros(len(tokens), vocab + 1, dtype=torch.bool, device=tokens.device)
    return counts.scatter_(1, tokens.where(tokens >= 0, vocab), True)[:, :vocab]


def sample(
    logits: Float[Tensor, "batch vocab"],
    sampling: Sampling,
    *,
    uniform: Float[Tensor, "batch"] | None = None,
    generator: torch.Generator | None = None,
    seen: Bool[Tensor, "batch vocab"] | None = None,
) -> Int[Tensor, "batch"]:
    """Draw one token a row by inverting the cumulative distribution: the first token whose sum passes `uniform`.

    One number a row decides, so a row's token does not depend on the rows beside it.

    Args:
        logits: of the model.
        sampling: the settings.
        uniform: numbers in [0, 1); None draws them from `generator`.
        generator: on any device; used only if `uniform` is None and the settings are not greedy.
        seen: for the repetition penalty.

    Raises:
        InferError: neither `uniform` nor `generator` is given and the settings are not greedy.
    Cost: softmax and cumulative sum in float64, because a float32 sum over 10**5 tokens loses rare ones.
    """
    filtered = filter_logits(logits, sampling, seen)
    if sampling.is_greedy:
        return filtered.argmax(-1)
    if uniform is None:
        if generator is None:
            raise InferError(f"temperature={sampling.temperature} draws at random; pass uniform= or generator=")
        uniform = torch.rand(len(logits), dtype=torch.float64, generator=generator, device=generator.device)
    cumulative = filtered.double().softmax(-1).cumsum(-1)
    target = uniform.to(cumulative)[:, None] * cumulative[:, -1:]
    return torch.searchsorted(cumulative, target, right=True)[:, 0]
