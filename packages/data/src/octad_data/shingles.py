"""A text as a set of numbers: 64-bit hashes of its runs of words."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from octad_data.hashing import finished
from octad_data.kernel import kernel
from octad_data.plain_words import plain_words
from octad_data.scramble import scramble

ROTATION = 0x9E3779B97F4A7C15  # 2**64 / golden ratio, odd: the step of splitmix64


@dataclass(frozen=True)
class ShingleSets:
    """The shingles of many texts end to end, in the order of the words, with repeats.

    Attributes:
        shingles: uint64, shape (n,).
        offsets: where each text's begin, and the end of the last; int64, shape (texts + 1,).
    """

    shingles: NDArray[np.uint64]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> NDArray[np.uint64]:
        return self.shingles[self.offsets[index] : self.offsets[index + 1]]


class Shingler:
    """Texts to sets of shingle hashes.

    A shingle is `ngram` words in a row, folded (see `plain_words`), without punctuation; a text with fewer words is one
    shingle; one without letters or digits is split at white space; an empty one has none. In scripts that are written
    without spaces (Han, kana, Thai to Khmer) each character counts as a word.

    Args:
        ngram: words a shingle, >= 1.
        seed: makes the hashes differ between runs that should not share their rare collisions.
    """

    def __init__(self, ngram: int = 5, seed: int = 0) -> None:
        steps = np.arange(1, ngram + 1, dtype=np.uint64) * np.uint64(ROTATION) + np.uint64(seed % 2**64)
        self._multipliers = scramble(steps) | np.uint64(1)

    def __call__(self, text: str) -> NDArray[np.uint64]:
        """The shingles of text, sorted, without repeats. Shape (n,)."""
        return np.unique(self.sets([text]).shingles)

    def sets(self, texts: Iterable[str]) -> ShingleSets:
        """The shingles of each text.

        Cost: about 100 MB of text a second.
        """
        words = plain_words(texts)
        lengths = np.diff(words.offsets)
        counts = np.where(lengths > 0, np.maximum(lengths - len(self._multipliers) + 1, 1), 0)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        shingles = np.empty(offsets[-1], dtype=np.uint64)
        _combine(words.hashes, words.offsets, self._multipliers, offsets, shingles)
        return ShingleSets(shingles, offsets)


@kernel
def _combine(
    hashes: NDArray[np.uint64],
    texts: NDArray[np.int64],
    multipliers: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    shingles: NDArray[np.uint64],
) -> None:
    """Fill `shingles`: a hash of each run of words, whose order counts."""
    for text in range(len(texts) - 1):
        size = min(len(multipliers), texts[text + 1] - texts[text])
        for number in range(offsets[text + 1] - offsets[text]):
            total = np.uint64(0)
            for index in range(size):
                total += hashes[texts[text] + number + index] * multipliers[index]
            shingles[offsets[text] + number] = finished(total)


@kernel
def shared_of_sorted(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> int:
    """Members that two sorted arrays without repeats have in common."""
    i, j, shared = 0, 0, 0
    while i < len(first) and j < len(second):
        if first[i] == second[j]:
            shared += 1
            i += 1
            j += 1
        elif first[i] < second[j]:
            i += 1
        else:
            j += 1
    return shared


def jaccard(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> float:
    """|A & B| / |A | B| of two sorted arrays without repeats; 1 for two empty ones."""
    total = len(first) + len(second)
    if total == 0:
        return 1.0
    shared = shared_of_sorted(first, second)
    return shared / (total - shared)
