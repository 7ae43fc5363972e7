"""Byte n-grams with Witten-Bell interpolation: Shannon's way to bound the entropy of a text, on sorted arrays.

Every count lives in two sorted arrays per order: the distinct (context, byte) pairs and the distinct contexts, each
packed into one uint64 (up to seven bytes). Counting is a sort, looking up is a binary search, and both are whole-array
numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from octad_arch.errors import ArchError

MAX_ORDER = 7  # six bytes of context and the byte itself fit into one uint64 with room to spare

Codes = NDArray[np.uint64]
Counts = NDArray[np.float64]


def byte_entropy(text: bytes) -> float:
    """H = -sum_b p(b) log2 p(b) in bits a byte: what the best model without any context would need.

    Source: Shannon 1948, section 6.
    """
    if not text:
        raise ArchError("the text is empty; entropy needs at least one byte")
    share = np.bincount(np.frombuffer(text, np.uint8), minlength=256) / len(text)
    share = share[share > 0]
    return float(-(share * np.log2(share)).sum())


@dataclass(frozen=True)
class _Order:
    """Counts of one order: `pairs` are contexts * 256 + byte, `contexts` those contexts; both sorted."""

    pairs: Codes
    pair_counts: Counts
    contexts: Codes
    totals: Counts  # how often a context was seen
    kinds: Counts  # how many distinct bytes followed it


@dataclass(frozen=True)
class ByteNGram:
    """P_k(b | c) = (n(c b) + T(c) P_{k-1}(b | c')) / (n(c) + T(c)), down to P_0 = 1/256.

    n counts occurrences, T(c) is the number of distinct bytes seen after c, and c' drops the oldest byte of c: the more
    kinds of continuation a context has had, the more it trusts the shorter one.
    Source: Witten & Bell 1991, method C; the entropy bound is Shannon 1951.
    """

    order: int
    counts: Sequence[_Order]

    @classmethod
    def fit(cls, text: bytes, order: int = 5) -> ByteNGram:
        """Count all n-grams of 1 to `order` bytes.

        Raises:
            ArchError: `order` is not 1 to 7, or the text is empty.
        Cost: one sort of len(text) integers an order; about 0.1 s a megabyte and order.
        """
        if not 1 <= order <= MAX_ORDER:
            raise ArchError(f"order={order}; a byte n-gram has order 1 to {MAX_ORDER}")
        if not text:
            raise ArchError("the text is empty; an n-gram model needs at least one byte")
        return cls(order, [_count(_codes(text, length)) for length in range(1, order + 1)])

    def probabilities(self, text: bytes) -> NDArray[np.float64]:
        """P(text[i] | the order-1 bytes before it) for every i; the first bytes have the context that there is."""
        result = np.full(len(text), 1 / 256)
        for length, counts in enumerate(self.counts, start=1):
            if len(text) >= length:
                result[length - 1 :] = _interpolate(_codes(text, length), counts, result[length - 1 :])
        return result

    def bits_per_byte(self, text: bytes) -> float:
        """Mean of -log2 P over the bytes of the text: an upper bound of its entropy rate.

        Raises:
            ArchError: the text is empty.
        """
        if not text:
            raise ArchError("the text is empty; bits per byte needs at least one byte")
        return float(-np.log2(self.probabilities(text)).mean())


def _codes(text: bytes, length: int) -> Codes:
    """Every window of `length` bytes as one integer, oldest byte first."""
    data = np.frombuffer(text, np.uint8).astype(np.uint64)
    windows = max(0, len(data) - length + 1)
    codes = np.zeros(windows, np.uint64)
    for offset in range(length):
        codes = (codes << np.uint64(8)) | data[offset : offset + windows]
    return codes


def _count(codes: Codes) -> _Order:
    pairs, pair_counts = np.unique(codes, return_counts=True)
    contexts, starts, kinds = np.unique(pairs >> np.uint64(8), return_index=True, return_counts=True)
    totals = np.add.reduceat(pair_counts, starts) if len(starts) else np.zeros(0)
    return _Order(pairs, pair_counts.astype(float), contexts, totals.astype(float), kinds.astype(float))


def _look_up(wanted: Codes, keys: Codes, values: Counts) -> Counts:
    """values[i] where keys[i] equals the wanted key, else 0."""
    if not len(keys):
        return np.zeros(len(wanted))
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], 0.0)


def _interpolate(codes: Codes, counts: _Order, shorter: NDArray[np.float64]) -> NDArray[np.float64]:
    contexts = codes >> np.uint64(8)
    total = _look_up(contexts, counts.contexts, counts.totals)
    kinds = _look_up(contexts, counts.contexts, counts.kinds)
    seen = _look_up(codes, counts.pairs, counts.pair_counts)
    weight = total + kinds  # 0 for a context never seen: then the shorter one decides alone
    return np.where(weight > 0, (seen + kinds * shorter) / np.maximum(weight, 1.0), shorter)
