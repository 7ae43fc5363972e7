"""How much a text repeats itself: runs of words that come again (Gopher, appendix A1.1)."""

import numpy as np
from numpy.typing import NDArray

from octad_data.hashing import add, table_size
from octad_data.kernel import kernel
from octad_data.texts import Texts
from octad_data.words import Words

TOP = (2, 3, 4)  # the commonest run of n words: its characters times how often it comes
REPEATED = (5, 6, 7, 8, 9, 10)  # runs of n words that came before, without overlap: their characters
NGRAM_NAMES = tuple(f"top_{n}gram_share" for n in TOP) + tuple(f"repeated_{n}gram_share" for n in REPEATED)
MIX = np.uint64(0xFF51AFD7ED558CCD)
SHIFT = np.uint64(32)


def ngram_signals(texts: Texts, words: Words) -> NDArray[np.float64]:
    """Shares of the text's characters, shape (texts, names)."""
    found = np.zeros((len(texts), len(NGRAM_NAMES)))
    room = int(np.diff(words.offsets).max(initial=0))
    table = np.empty(table_size(room), dtype=np.uint64)
    _fill(
        texts.data, texts.offsets, words.lengths, words.hashes, words.offsets, np.empty(room, dtype=np.uint64),
        np.empty((2, room), dtype=np.int64), table, np.empty(len(table), dtype=np.int64), found,
    )  # fmt: skip
    return found


@kernel
def _fill(
    data: NDArray[np.uint8],
    texts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    runs: NDArray[np.uint64],
    room: NDArray[np.int64],
    table: NDArray[np.uint64],
    counts: NDArray[np.int64],
    found: NDArray[np.float64],
) -> None:
    """Runs of n words are looked for where runs of n - 1 words come again: at few places of most texts.

    `runs` has the hash of the run that begins at each word, `places` the words where one that comes again begins,
    `slots` the place of each of these in `table`, and `counts` how often each run there comes.
    """
    places, slots = room[0], room[1]
    for text in range(len(texts) - 1):
        first, words = offsets[text], offsets[text + 1] - offsets[text]
        characters = 0
        for place in range(texts[text], texts[text + 1]):
            characters += (data[place] & 0xC0) != 0x80
        left = words
        for word in range(words):
            runs[word], places[word] = hashes[first + word], word
        for n in range(2, REPEATED[-1] + 1):
            if words < n:
                break
            left = _lengthen(runs, places, left, hashes[first : first + words], n)
            most = _count(runs, places, slots, left, table, counts)
            if n <= TOP[-1]:
                best, index = 0, 0
                while most > 1 and counts[slots[index]] < most:
                    index += 1
                if most > 1:
                    best = places[index]
                span = _characters(lengths, first + best, n) + n - 1  # with a space between two words
                found[text, n - TOP[0]] = span * max(most, 1) / characters
            left = _keep_repeated(places, slots, left, counts)
            if n >= REPEATED[0]:
                repeated = _repeated(lengths, first, n, places, slots, left, counts)
                found[text, len(TOP) + n - REPEATED[0]] = repeated / characters


@kernel
def _lengthen(
    runs: NDArray[np.uint64], places: NDArray[np.int64], left: int, hashes: NDArray[np.uint64], n: int
) -> int:
    """Runs of n - 1 words to those of n at the places; how many places are left, without those too near the end."""
    while left and places[left - 1] + n > len(hashes):
        left -= 1
    for index in range(left):
        word = places[index]
        value = (runs[word] ^ (hashes[word + n - 1] >> np.uint64(1))) * MIX
        runs[word] = (value ^ (value >> SHIFT)) | np.uint64(1)
    return left


@kernel
def _count(
    runs: NDArray[np.uint64],
    places: NDArray[np.int64],
    slots: NDArray[np.int64],
    left: int,
    table: NDArray[np.uint64],
    counts: NDArray[np.int64],
) -> int:
    """Fill `slots` and `counts`; how often the commonest run comes."""
    size = table_size(left)
    keys = table[:size]
    for slot in range(size):
        keys[slot], counts[slot] = 0, 0
    most = 0
    for index in range(left):
        slot = add(keys, runs[places[index]])
        slots[index] = slot
        counts[slot] += 1
        most = max(most, counts[slot])
    return most


@kernel
def _keep_repeated(places: NDArray[np.int64], slots: NDArray[np.int64], left: int, counts: NDArray[np.int64]) -> int:
    """Move the places whose run comes more than once to the front; how many they are."""
    kept = 0
    for index in range(left):
        if counts[slots[index]] > 1:
            places[kept], slots[kept] = places[index], slots[index]
            kept += 1
    return kept


@kernel
def _repeated(
    lengths: NDArray[np.int64],
    first: int,
    n: int,
    places: NDArray[np.int64],
    slots: NDArray[np.int64],
    left: int,
    counts: NDArray[np.int64],
) -> int:
    """Characters of runs that came before; after one, the search goes on behind it. Counts become 0 where it went."""
    characters, free = 0, 0
    for index in range(left):
        if places[index] < free:
            continue
        if counts[slots[index]]:
            counts[slots[index]] = 0
        else:
            characters += _characters(lengths, first + places[index], n)
            free = places[index] + n
    return characters


@kernel
def _characters(lengths: NDArray[np.int64], word: int, n: int) -> int:
    """Of n words from one on."""
    total = 0
    for index in range(word, word + n):
        total += lengths[index]
    return total
