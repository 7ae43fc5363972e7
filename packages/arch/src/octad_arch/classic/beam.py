"""Beam search: the most probable outputs, as far as a few candidates at a time can tell."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from octad_arch.errors import require_positive

State = TypeVar("State")
Step = Callable[[Int[Tensor, "beams"], State], tuple[Float[Tensor, "beams vocab"], State]]
"""(last tokens, state) -> log-probabilities of the next token, and the state after these."""


class Hypothesis(NamedTuple):
    """An output: its tokens, the stop token left out, and the score that it was ranked by."""

    tokens: list[int]
    score: float


def length_penalty(length: int, alpha: float) -> float:
    """((5 + length) / 6)^alpha, what the sum of log-probabilities is divided by (Wu et al. 2016, arXiv 1609.08144)."""
    return float(((5 + length) / 6) ** alpha)


def beam_search(
    step: Step[State],
    state: State,
    select: Callable[[State, Int[Tensor, "kept"]], State],
    start: int,
    stop: int,
    width: int = 4,
    max_tokens: int = 50,
    alpha: float = 0.0,
    count: int = 1,
) -> list[Hypothesis]:
    """The best outputs found, best first: score = Σ log p / `length_penalty`, the stop token counted in both.

    Ends when no unfinished candidate can still beat the count-th finished one: its log-probability can only fall, and
    no penalty is larger than that of max_tokens.

    Args:
        step: of the model.
        state: for one row.
        select: (state, rows) -> the state of these rows in this order.
        start: token that every output begins with; not returned.
        stop: token that ends an output.
        width: unfinished candidates kept at each step.
        max_tokens: the longest output, its stop included; what is unfinished then is not returned unless nothing is.
        alpha: 0 ranks by probability, larger favours longer outputs.
        count: outputs wanted.
    """
    require_positive(width=width, max_tokens=max_tokens, count=count)
    tokens, scores = torch.full((1, 1), start), torch.zeros(1, dtype=torch.float64)
    finished: list[Hypothesis] = []
    for length in range(1, max_tokens + 1):
        log_probs, state = step(tokens[:, -1], state)
        total = scores[:, None] + log_probs.double().cpu()
        for row in range(len(total)):
            score = float(total[row, stop]) / length_penalty(length, alpha)
            if score > -torch.inf:
                finished.append(Hypothesis(tokens[row, 1:].tolist(), score))
        finished = sorted(finished, key=lambda each: -each.score)[:count]
        total[:, stop] = -torch.inf
        best = total.flatten().topk(min(width, total.numel() - len(total)))
        rows, words = best.indices // total.shape[1], best.indices % total.shape[1]
        tokens, scores = torch.cat((tokens[rows], words[:, None]), 1), best.values
        bound = float(scores[0]) / length_penalty(max_tokens, alpha)
        if (
            length == max_tokens
            or not scores[0] > -torch.inf
            or (len(finished) == count and finished[-1].score >= bound)
        ):
            break
        state = select(state, rows)
    if finished:
        return finished
    shortened = length_penalty(max_tokens, alpha)
    return [Hypothesis(row[1:], float(score) / shortened) for row, score in zip(tokens.tolist(), scores, strict=True)][
        :count
    ]
