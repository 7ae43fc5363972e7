"""Shannon's ways to the entropy of a text: of its n-grams, and of the number of guesses that each symbol takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from octad_arch.classic.counts import Ids, NGramCounts, Numbers
from octad_arch.errors import require


def block_entropies(ids: Sequence[int] | Ids, vocab_size: int, order: int) -> list[float]:
    """F_1, ..., F_order in bits: F_N = -Σ p(b, w) log2 p(w | b) over all runs b of N-1 symbols and the w after them.

    F_N falls with N towards the entropy of the source, while the text is long against the number of N-grams; beyond
    that it falls to 0, because what was seen once looks certain.

    Raises:
        ArchError: no text, fewer symbols than `order`, an id outside the vocabulary.
    Source: Shannon 1951, equation 1.
    """
    require(len(ids) >= order, f"order={order} needs as many symbols; the text has {len(ids)}")
    found = []
    for level in NGramCounts.of(ids, vocab_size, order).levels:
        conditional = level.count / level.total(level.count)[level.context]
        found.append(float(abs(level.count @ np.log2(conditional)) / level.count.sum()))
    return found


def ranks(distributions: NDArray[np.floating], ids: Sequence[int] | Ids) -> Ids:
    """Guesses until the right one, the likeliest first; of symbols as likely as each other the lower id goes first.

    Args:
        distributions: (rows, vocab_size), probabilities, scores or logits.
        ids: (rows,), the symbols to be guessed.

    Returns:
        (rows,), 1 to vocab_size.
    """
    wanted = np.asarray(ids, np.int64)
    shape = distributions.shape
    require(shape[:1] == wanted.shape, f"{len(wanted)} symbols for {shape[0]} distributions; use one for each")
    own = np.take_along_axis(distributions, wanted[:, None], 1)
    earlier = np.arange(shape[1]) < wanted[:, None]
    before = (distributions > own) | (earlier & (distributions == own))
    return np.asarray(before.sum(1) + 1, np.int64)


def guess_shares(guesses: Sequence[int] | Ids, vocab_size: int) -> Numbers:
    """q_i, the share of symbols that took i guesses, for i = 1 to vocab_size."""
    numbers = np.asarray(guesses, np.int64)
    inside = numbers.size > 0 and bool(((numbers >= 1) & (numbers <= vocab_size)).all())
    require(inside, f"guesses must be 1 to vocab_size={vocab_size}, and at least one of them")
    return np.bincount(numbers - 1, minlength=vocab_size) / len(numbers)


def guessing_bounds(shares: Sequence[float] | Numbers) -> tuple[float, float]:
    """Σ i (q_i - q_{i+1}) log2 i  <=  H  <=  -Σ q_i log2 q_i, in bits a symbol.

    The guesses of a player who knows no more than the past are a text from which the original follows, so their
    entropy is the upper bound, whoever plays. The lower one holds for the ideal player, who always names the likeliest
    symbol left; q then falls with i.

    Args:
        shares: q_1, q_2, ... of `guess_shares`, summing to 1.

    Returns:
        The lower and the upper bound.
    Source: Shannon 1951, equation 17.
    """
    q = np.asarray(shares, np.float64)
    sums = len(q) > 0 and bool((q >= 0).all()) and abs(float(q.sum()) - 1) < 1e-9
    require(sums, f"shares sum to {q.sum()}; they must be probabilities")
    i = np.arange(1, len(q) + 1)
    lower = float((i * (q - np.append(q[1:], 0.0)) * np.log2(i)).sum())
    seen = q[q > 0]
    return lower, float(abs(seen @ np.log2(seen)))
