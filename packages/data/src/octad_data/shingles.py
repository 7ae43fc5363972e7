"""A text as a set of numbers: 64-bit hashes of its runs of words."""

import re
import unicodedata
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

# Scripts written without spaces (Thai to Khmer, kana, Han and their neighbours) count a character as a word.
_UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
MAX_WORDS_HELD = 1_000_000  # about 150 MB; then the table of word hashes starts anew

MULTIPLIER_1 = np.uint64(0xFF51AFD7ED558CCD)  # MurmurHash3's 64-bit finaliser (Appleby 2011)
MULTIPLIER_2 = np.uint64(0xC4CEB9FE1A85EC53)
SHIFT = np.uint64(33)
ROTATION = 0x9E3779B97F4A7C15  # 2**64 / golden ratio, odd: the step of splitmix64


def scramble(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A bijection of 64-bit numbers in which each bit of the input changes half of the output's; in place.

    Order is not kept: the smallest hash of a set says nothing about its smallest member. Source: MurmurHash3 fmix64.
    """
    x ^= x >> SHIFT
    x *= MULTIPLIER_1
    x ^= x >> SHIFT
    x *= MULTIPLIER_2
    x ^= x >> SHIFT
    return x


class WordHashes(dict[str, int]):
    """Word -> 64-bit blake2b, the same in every process (Python's own `hash` is not)."""

    def __missing__(self, word: str) -> int:
        if len(self) >= MAX_WORDS_HELD:
            self.clear()
        value = int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
        self[word] = value
        return value


class Shingler:
    """Texts to sorted arrays of distinct shingle hashes.

    A shingle is `ngram` words in a row, lower-cased, without punctuation; a text with fewer words is one shingle; one
    without letters or digits is split at white space; an empty one has none.

    Args:
        ngram: words a shingle, >= 1.
        seed: makes the hashes differ between runs that should not share their rare collisions.
    """

    def __init__(self, ngram: int = 5, seed: int = 0) -> None:
        self._ngram = ngram
        self._words = WordHashes()
        steps = np.arange(1, ngram + 1, dtype=np.uint64) * np.uint64(ROTATION) + np.uint64(seed % 2**64)
        self._multipliers = scramble(steps) | np.uint64(1)

    def __call__(self, text: str) -> NDArray[np.uint64]:
        """The shingles of text, sorted, without repeats. Shape (n,)."""
        text = unicodedata.normalize("NFC", text).lower()
        words = WORD.findall(text) or text.split()
        table = self._words
        hashes = np.fromiter((table[word] for word in words), dtype=np.uint64, count=len(words))
        if not words:
            return hashes
        count = max(len(words) - self._ngram + 1, 1)
        shingles = np.zeros(count, dtype=np.uint64)
        for offset in range(min(self._ngram, len(words))):
            shingles += hashes[offset : offset + count] * self._multipliers[offset]
        return np.unique(scramble(shingles))


def jaccard(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> float:
    """|A & B| / |A | B| of two sorted arrays without repeats; 1 for two empty ones."""
    total = len(first) + len(second)
    if total == 0:
        return 1.0
    union = len(np.unique(np.concatenate((first, second))))
    return (total - union) / union
