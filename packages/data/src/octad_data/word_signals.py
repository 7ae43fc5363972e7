"""Signals that need the words alone."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from octad_data.characters import LETTER, UPPER, character_classes, decode_at
from octad_data.hashing import add, find, table_size
from octad_data.kernel import kernel
from octad_data.stop_words import stop_words
from octad_data.texts import Texts
from octad_data.words import ENDS_SENTENCE, HAS_LETTER, IS_SYMBOLS, Words, word_hash

WORD_NAMES = (
    "characters",  # of the text
    "words",  # all of them, marks too
    "true_words",  # with a character that is no mark: what Gopher counts
    "mean_word_length",  # characters of a true word
    "symbol_hash_ratio",  # `#` a word
    "symbol_ellipsis_ratio",  # `...` and `…` a word
    "letter_word_ratio",  # words with a letter among all
    "stop_words",  # different ones of Gopher's list for the language
    "unique_word_ratio",  # different words among all
    "word_entropy",  # nats, of the distribution of words
    "capitals_word_ratio",  # words whose letters are all capitals
    "digit_ratio",  # ASCII digits among all characters
    "sentences",  # by their marks
)


def word_signals(texts: Texts, words: Words, language: str) -> NDArray[np.float64]:
    """Values in the order of `WORD_NAMES`, shape (texts, names)."""
    found = np.zeros((len(texts), len(WORD_NAMES)))
    room = table_size(int(np.diff(words.offsets).max(initial=0)))
    _fill(
        texts.data, texts.offsets, words.starts, words.ends, words.lengths, words.kinds, words.hashes, words.offsets,
        character_classes(), _stop_table(language), np.empty(room, dtype=np.uint64), np.empty(room, dtype=np.int64),
        found,
    )  # fmt: skip
    return found


@cache
def _stop_table(language: str) -> NDArray[np.uint64]:
    """The hashes of the stop words as a table."""
    words = stop_words(language)
    table = np.zeros(table_size(4 * len(words)), dtype=np.uint64)
    for word in words:
        add(table, word_hash(word))
    return table


@kernel
def _fill(
    data: NDArray[np.uint8],
    texts: NDArray[np.int64],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    lengths: NDArray[np.int64],
    kinds: NDArray[np.uint8],
    hashes: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    classes: NDArray[np.uint8],
    stops: NDArray[np.uint64],
    table: NDArray[np.uint64],
    counts: NDArray[np.int64],
    found: NDArray[np.float64],
) -> None:
    for text in range(len(texts) - 1):
        first, last = offsets[text], offsets[text + 1]
        characters, hashes_seen, digits = _count_characters(data, texts[text], texts[text + 1])
        row = found[text]
        row[0], row[1] = characters, last - first
        if last == first:
            continue
        true_words, true_length, letters, capitals, sentences, stops_seen = 0, 0, 0, 0, 0, 0
        ended = True
        total = last - first
        keys = table[: table_size(total)]
        for slot in range(len(keys)):
            keys[slot], counts[slot] = 0, 0
        for word in range(first, last):
            kind = kinds[word]
            if kind & IS_SYMBOLS == 0:
                true_words += 1
                true_length += lengths[word]
            if kind & HAS_LETTER:
                letters += 1
                capitals += _all_capitals(data, starts[word], ends[word], classes)
            slot = add(keys, hashes[word])
            counts[slot] += 1
            if counts[slot] == 1:
                stops_seen += find(stops, hashes[word]) >= 0
            if kind & ENDS_SENTENCE:
                ended = True
            elif ended:
                sentences += 1
                ended = False
        different, entropy = 0, 0.0
        for slot in range(len(keys)):
            count = counts[slot]
            different += count > 0
            if count > 1:
                entropy -= count * np.log(count)
        row[2] = true_words
        row[3] = true_length / true_words if true_words else 0.0
        row[4], row[5] = hashes_seen / total, _ellipses(data, texts[text], texts[text + 1]) / total
        row[6], row[7] = letters / total, stops_seen
        row[8], row[9] = different / total, np.log(total) + entropy / total
        row[10] = capitals / total
        row[11], row[12] = digits / characters, sentences


@kernel
def _count_characters(data: NDArray[np.uint8], at: int, stop: int) -> tuple[int, int, int]:
    """Characters; `#`; ASCII digits."""
    characters, hashes, digits = 0, 0, 0
    for place in range(at, stop):
        byte = data[place]
        characters += (byte & 0xC0) != 0x80
        hashes += byte == 35
        digits += 48 <= byte <= 57
    return characters, hashes, digits


@kernel
def _ellipses(data: NDArray[np.uint8], at: int, stop: int) -> int:
    """`...`, one after the other, and `…`."""
    ellipses, dots, before = 0, 0, -1
    for place in range(at, stop):
        byte = data[place]
        if byte == 46:
            dots = dots + 1 if before == place - 1 else 1
            before = place
            if dots == 3:
                ellipses += 1
                dots = 0
        elif byte == 0xA6 and place >= at + 2 and data[place - 1] == 0x80 and data[place - 2] == 0xE2:
            ellipses += 1
    return ellipses


@kernel
def _all_capitals(data: NDArray[np.uint8], at: int, end: int, classes: NDArray[np.uint8]) -> bool:
    while at < end:
        point, at = decode_at(data, at)
        kind = classes[point]
        if kind & LETTER and kind & UPPER == 0:
            return False
    return True
