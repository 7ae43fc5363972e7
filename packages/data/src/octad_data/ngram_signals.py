"""How much a text repeats itself: runs of words that come again (Gopher, appendix A1.1)."""

import numpy as np
from numpy.typing import NDArray

from octad_data.hashing import add, is_new, new_table
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
    _fill(texts.data, texts.offsets, words.lengths, words.hashes, words.offsets, found)
    return found


@kernel
def _fill(
    data: NDArray[np.uint8],
    texts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    found: NDArray[np.float64],
) -> None:
    for text in range(len(texts) - 1):
        first, last = offsets[text], offsets[text + 1]
        characters = 0
        for place in range(texts[text], texts[text + 1]):
            characters += (data[place] & 0xC0) != 0x80
        if last == first or characters == 0:
            continue
        runs = hashes[first:last].copy()
        size = 1
        table = new_table(last - first)
        counts = np.zeros(len(table), dtype=np.int32)
        for index, n in enumerate(TOP):
            while size < n:
                _lengthen(runs, hashes[first:last], size)
                size += 1
            found[text, index] = _top(runs, lengths[first:last], n, table, counts) / characters
        for index, n in enumerate(REPEATED):
            while size < n:
                _lengthen(runs, hashes[first:last], size)
                size += 1
            found[text, len(TOP) + index] = _repeated(runs, lengths[first:last], n, table) / characters


@kernel
def _lengthen(runs: NDArray[np.uint64], hashes: NDArray[np.uint64], size: int) -> None:
    """Hashes of runs of `size` words to those of one word more, in place."""
    for word in range(len(hashes) - size):
        value = (runs[word] ^ (hashes[word + size] >> np.uint64(1))) * MIX
        runs[word] = (value ^ (value >> SHIFT)) | np.uint64(1)


@kernel
def _top(
    runs: NDArray[np.uint64], lengths: NDArray[np.int64], n: int, table: NDArray[np.uint64], counts: NDArray[np.int32]
) -> int:
    """Characters of the commonest run, spaces between its words too, times its count; the first of equals."""
    if len(lengths) < n:
        return 0
    table[:] = 0
    counts[:] = 0
    most = 0
    for word in range(len(lengths) - n + 1):
        place = add(table, runs[word])
        counts[place] += 1
        most = max(most, counts[place])
    for word in range(len(lengths) - n + 1):
        if counts[add(table, runs[word])] == most:
            return int(lengths[word : word + n].sum() + n - 1) * most
    return 0


@kernel
def _repeated(runs: NDArray[np.uint64], lengths: NDArray[np.int64], n: int, table: NDArray[np.uint64]) -> int:
    """Characters of runs that came before; after one, the search goes on behind it."""
    table[:] = 0
    characters, word = 0, 0
    while word < len(lengths) - n + 1:
        if is_new(table, runs[word]):
            word += 1
        else:
            characters += lengths[word : word + n].sum()
            word += n
    return characters
