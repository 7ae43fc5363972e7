"""The hot loop of training: how often each pair of neighbours occurs, and where, kept up to date by each merge."""

from __future__ import annotations

from collections import defaultdict
from heapq import heapify, heappop, heappush
from itertools import pairwise
from typing import Any, TypeAlias

Pair: TypeAlias = tuple[int, int]


class PairIndex:
    """Counts and occurrences of pairs in weighted words, and a heap that finds the most frequent.

    The heap is lazy: an entry holds the count of when it was made. Counts that grow get a new entry; one that shrank
    is put back with its true count when it comes up.

    Args:
        words: ids of each distinct pre-token; changed in place.
        weights: how often each occurs.

    Memory: about 100 bytes for each different pair of each distinct word.
    """

    def __init__(self, words: list[list[int]], weights: list[int]) -> None:
        self._words, self._weights = words, weights
        self._counts: defaultdict[Pair, int] = defaultdict(int)
        self._where: defaultdict[Pair, set[int]] = defaultdict(set)
        for at, (word, weight) in enumerate(zip(words, weights, strict=True)):
            for pair in pairwise(word):
                self._counts[pair] += weight
                self._where[pair].add(at)
        self._heap: list[tuple[int, Any, Any, int, int]] = []
        self._keys: list[str | bytes | int] = []

    def start(self, order_keys: list[str | bytes | int]) -> None:
        """Fill the heap; `order_keys[id]` says which of equally frequent pairs comes first (the smallest keys)."""
        self._keys = list(order_keys)
        self._heap = [self._entry(pair) for pair in self._counts]
        heapify(self._heap)

    def add_order_key(self, order_key: str | bytes | int) -> None:
        """The key of the next id."""
        self._keys.append(order_key)

    def _entry(self, pair: Pair) -> tuple[int, Any, Any, int, int]:
        left, right = pair
        return -self._counts[pair], self._keys[left], self._keys[right], left, right

    def most_frequent(self, min_frequency: int) -> Pair | None:
        """The pair that occurs most often, at least `min_frequency` times; None where there is none."""
        heap = self._heap
        while heap and -heap[0][0] >= min_frequency:
            negative, _, _, left, right = heappop(heap)
            count = self._counts.get((left, right), 0)
            if count == -negative:
                return left, right
            if 0 < count < -negative:
                heappush(heap, self._entry((left, right)))
        return None

    def merge(self, pair: Pair, product: int) -> None:
        """Replace `pair` by `product` everywhere."""
        grown: set[Pair] = set()
        for at in self._where.pop(pair):
            self._merge_word(at, pair, product, grown)
        self._counts.pop(pair)
        for other in grown:
            if self._counts[other] > 0:
                heappush(self._heap, self._entry(other))

    def _merge_word(self, at: int, pair: Pair, product: int, grown: set[Pair]) -> None:
        """Rewrite one word from the left, and count what its pairs lose and gain around each merge."""
        left, right = pair
        word, weight, counts = self._words[at], self._weights[at], self._counts
        merged: list[int] = []
        gained: list[Pair] = []
        i, last = 0, len(word) - 1
        while i <= last:
            if word[i] != left or i == last or word[i + 1] != right:
                merged.append(word[i])
                i += 1
                continue
            if merged:
                counts[merged[-1], left] -= weight
                gained.append((merged[-1], product))
                counts[merged[-1], product] += weight
            if i + 2 <= last:
                counts[right, word[i + 2]] -= weight
                gained.append((product, word[i + 2]))
                counts[product, word[i + 2]] += weight
            merged.append(product)
            i += 2
        self._words[at] = merged
        for other in gained:
            self._where[other].add(at)
        grown.update(gained)
