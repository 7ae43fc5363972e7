"""How often every n-gram occurs: a tree in sorted arrays, one level an order.

An n-gram is named by its place among the distinct n-grams of its length, sorted by (place of its first n-1 symbols,
last symbol): one integer however long the n-gram and however large the vocabulary. Counting a level is one sort,
looking one up for a whole text one binary search, and both are whole-array numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from octad_arch.errors import require, require_positive

Ids: TypeAlias = NDArray[np.int64]
Numbers: TypeAlias = NDArray[np.float64]
MISSING = -1  # the place of an n-gram that never occurred


@dataclass(frozen=True, eq=False)
class Level:
    """The distinct n-grams of one length, sorted.

    Args:
        keys: place of the context * vocab_size + last symbol, ascending.
        count: how often each occurs.
        suffix: the place, one level up, of each n-gram without its first symbol.
        num_contexts: distinct n-grams one level up.
    """

    keys: Ids
    count: Numbers
    suffix: Ids
    num_contexts: int
    vocab_size: int

    @property
    def context(self) -> Ids:
        """The place, one level up, of each n-gram without its last symbol."""
        return self.keys // self.vocab_size

    def total(self, weights: Numbers) -> Numbers:
        """Sum of the weights over the n-grams that continue each context."""
        return np.bincount(self.context, weights, self.num_contexts).astype(np.float64)


@dataclass(frozen=True, eq=False)
class NGramCounts:
    """All n-grams of 1 to `order` symbols of one text."""

    vocab_size: int
    levels: tuple[Level, ...]

    @classmethod
    def of(cls, ids: Sequence[int] | Ids, vocab_size: int, order: int) -> NGramCounts:
        """Count.

        Args:
            ids: the text, each 0 <= id < vocab_size.
            vocab_size: number of symbols.
            order: length of the longest n-grams, >= 1.

        Raises:
            ArchError: no text, an id outside the vocabulary, or sizes that do not fit 63 bits.
        Cost: one sort of len(ids) integers an order.
        """
        require_positive(order=order)
        data = checked(ids, vocab_size)
        require(len(data) > 0, "the text is empty; an n-gram model needs at least one symbol")
        levels: list[Level] = []
        # place[i] is that of the n-gram that ends with symbol i; all share the empty context, whose place is 0
        place, num_contexts = np.zeros(len(data) + 1, np.int64), 1
        for length in range(1, order + 1):
            codes = place[:-1] * vocab_size + data[length - 1 :]
            keys, first, next_place, count = np.unique(
                codes, return_index=True, return_inverse=True, return_counts=True
            )
            suffix = place[1:][first] if length > 1 else np.zeros(len(keys), np.int64)
            levels.append(Level(keys, count.astype(np.float64), suffix, num_contexts, vocab_size))
            place, num_contexts = next_place, len(keys)
        return cls(vocab_size, tuple(levels))

    def continuations(self, length: int) -> Numbers:
        """N1+(•g): how many distinct symbols precede each n-gram g of `length`; its count at the highest order.

        Source: Kneser and Ney 1995.
        """
        if length == len(self.levels):
            return self.levels[-1].count
        longer = self.levels[length]
        return np.bincount(longer.suffix, minlength=longer.num_contexts).astype(np.float64)


def checked(ids: Sequence[int] | Ids, vocab_size: int) -> Ids:
    """The ids as an array.

    Raises:
        ArchError: they are not a sequence of numbers below `vocab_size`, or too many for the keys of a level.
    """
    require_positive(vocab_size=vocab_size)
    data = np.asarray(ids)
    require(data.ndim == 1, f"ids has shape {data.shape}; a text is one sequence")
    require(data.size == 0 or data.dtype.kind in "iu", f"ids has type {data.dtype}; use integers")
    data = data.astype(np.int64)
    low, high = (int(data.min()), int(data.max())) if data.size else (0, 0)
    require(
        low >= 0 and high < vocab_size, f"ids run from {low} to {high}; with vocab_size={vocab_size} use 0 to below"
    )
    fits = (len(data) + 1) * vocab_size < 2**63
    require(fits, f"{len(data)} symbols of {vocab_size} kinds do not fit 63 bits; count a shorter text")
    return data


def find(wanted: Ids, keys: Ids) -> Ids:
    """The place of each wanted key in the sorted keys, MISSING where it is not among them."""
    if not len(keys):
        return np.full(len(wanted), MISSING)
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, place, MISSING)
