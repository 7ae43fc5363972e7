"""A text as a set of numbers: 64-bit hashes of its runs of words."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from octad_data.characters import DIGIT, LETTER, MARK, SPACE, UNSPACED, character_classes, decode_at
from octad_data.kernel import kernel
from octad_data.scramble import scramble
from octad_data.texts import Texts

IN_WORD = LETTER | MARK | DIGIT
ROTATION = 0x9E3779B97F4A7C15  # 2**64 / golden ratio, odd: the step of splitmix64
FNV_PRIME = np.uint64(0x100000001B3)  # Fowler, Noll and Vo; the words' hashes are scrambled once more at their end
FNV_START = np.uint64(0xCBF29CE484222325)
MULTIPLIER = np.uint64(0xFF51AFD7ED558CCD)
SHIFT = np.uint64(32)
UNDERSCORE = 0x5F


def folded(text: str) -> str:
    """Unicode's compatibility form (NFKC), then full case folding: ligatures, widths and case tell no texts apart."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


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

    A shingle is `ngram` words in a row, folded (see `folded`), without punctuation; a text with fewer words is one
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

        Cost: about 200 MB of text a second.
        """
        buffer = Texts.of(map(folded, texts))
        shingles = np.empty(buffer.num_bytes + len(buffer), dtype=np.uint64)
        offsets = np.zeros(len(buffer) + 1, dtype=np.int64)
        _shingle(buffer.data, buffer.offsets, character_classes(), self._multipliers, shingles, offsets)
        return ShingleSets(shingles[: offsets[-1]].copy(), offsets)


@kernel
def _shingle(
    data: NDArray[np.uint8],
    texts: NDArray[np.int64],
    classes: NDArray[np.uint8],
    multipliers: NDArray[np.uint64],
    shingles: NDArray[np.uint64],
    offsets: NDArray[np.int64],
) -> None:
    """Fill `shingles` and `offsets`."""
    recent = np.zeros(len(multipliers), dtype=np.uint64)  # hashes of the last words, in a ring
    place = 0
    for text in range(len(texts) - 1):
        words = 0
        for by_space in (False, True):
            if words == 0:
                words, place = _shingle_one(
                    data, texts[text], texts[text + 1], classes, multipliers, recent, by_space, shingles, place
                )
        offsets[text + 1] = place


@kernel
def _shingle_one(
    data: NDArray[np.uint8],
    start: int,
    stop: int,
    classes: NDArray[np.uint8],
    multipliers: NDArray[np.uint64],
    recent: NDArray[np.uint64],
    by_space: bool,
    shingles: NDArray[np.uint64],
    place: int,
) -> tuple[int, int]:
    """The number of words of one text, and the place after its shingles."""
    words, at = 0, start
    ngram = len(multipliers)
    value, is_open = FNV_START, False
    while at <= stop:
        before = at
        stays, is_alone = False, False
        if at < stop:
            point, at = decode_at(data, at)
            kind = classes[point]
            if by_space:
                stays = (kind & SPACE) == 0
            else:
                stays = (kind & IN_WORD) != 0 or point == UNDERSCORE
                is_alone = (kind & UNSPACED) != 0
        else:
            at += 1
        if is_open and (not stays or is_alone):
            recent[words % ngram] = _mixed(value)
            words += 1
            place = _add(words, recent, multipliers, shingles, place)
            value, is_open = FNV_START, False
        if stays:
            for byte in range(before, at):
                value = (value ^ np.uint64(data[byte])) * FNV_PRIME
            is_open = True
            if is_alone:
                recent[words % ngram] = _mixed(value)
                words += 1
                place = _add(words, recent, multipliers, shingles, place)
                value, is_open = FNV_START, False
    if 0 < words < ngram:
        shingles[place] = _combined(words, words, recent, multipliers)
        place += 1
    return words, place


@kernel
def _add(
    words: int,
    recent: NDArray[np.uint64],
    multipliers: NDArray[np.uint64],
    shingles: NDArray[np.uint64],
    place: int,
) -> int:
    """Put down the shingle that ends with the last word, once there are enough words."""
    if words < len(multipliers):
        return place
    shingles[place] = _combined(words, len(multipliers), recent, multipliers)
    return place + 1


@kernel
def _combined(words: int, count: int, recent: NDArray[np.uint64], multipliers: NDArray[np.uint64]) -> np.uint64:
    """A hash of the last `count` words in their order."""
    total = np.uint64(0)
    first = words - count
    for index in range(count):
        total += recent[(first + index) % len(multipliers)] * multipliers[index]
    return _mixed(total)


@kernel
def _mixed(value: np.uint64) -> np.uint64:
    """A bijection that spreads each bit over the others (the finaliser of MurmurHash3, without its last product)."""
    value = (value ^ (value >> SHIFT)) * MULTIPLIER
    value = (value ^ (value >> SHIFT)) * MULTIPLIER
    return value ^ (value >> SHIFT)


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
