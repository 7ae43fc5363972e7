"""The words of many texts at once: where each is, how long, of what kind, and a hash; all signals are made of them."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from octad_data.characters import DIGIT, LETTER, MARK, PUNCTUATION, SPACE, UNSPACED, character_classes, decode_at
from octad_data.english_cut import MOST_BYTES, ROOM, CutTables, cut_long_piece, cut_piece, cut_tables, write_special
from octad_data.hashing import find, hash_bytes
from octad_data.kernel import kernel
from octad_data.sentence_marks import SENTENCE_END, SYMBOLS, mark_classes
from octad_data.texts import Texts

HAS_LETTER = 1  # at least one character is a letter
IS_SYMBOLS = 2  # every character is punctuation, a sign or a control character (see `sentence_marks.SYMBOLS`)
IS_PUNCTUATION = 4  # every character is of Unicode's category P
ENDS_SENTENCE = 8  # the word is one mark that ends sentences


@dataclass(frozen=True)
class Words:
    """Words of many texts, end to end.

    Attributes:
        starts: first byte of each in the texts' data, int64, shape (n,).
        ends: the byte after it.
        lengths: characters.
        kinds: bits of `HAS_LETTER` and its neighbours, uint8.
        hashes: 64 bits; equal for equal words.
        offsets: the first word of each text, and the number of all; int64, shape (texts + 1,).
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    lengths: NDArray[np.int64]
    kinds: NDArray[np.uint8]
    hashes: NDArray[np.uint64]
    offsets: NDArray[np.int64]

    def strings(self, texts: Texts, index: int) -> list[str]:
        """The words of one text, as a reader would see them."""
        rows = range(self.offsets[index], self.offsets[index + 1])
        return [texts.data[self.starts[row] : self.ends[row]].tobytes().decode() for row in rows]


def word_hash(word: str) -> np.uint64:
    """The hash that `Words` has for a word."""
    data = np.frombuffer(word.encode(), dtype=np.uint8)
    return np.uint64(hash_bytes(data, 0, len(data)))


class WordSplitter:
    """Texts to words.

    In English as `english_words.split_piece` cuts a piece between white space; the loop does the commonest ones at
    once: those with a split of their own, single characters, letters or digits with at most one mark behind them. In
    other languages a word is a run of letters, marks and digits, each other character is one of its own, and so is each
    character of scripts that are written without spaces.

    Args:
        language: `en`, or another, which all follow the second rule.
    """

    def __init__(self, language: str = "en") -> None:
        self._is_english = language == "en"

    def __call__(self, texts: Texts) -> Words:
        """The words of each text.

        Cost: about 40 MB of ordinary English a second.
        """
        room = texts.num_bytes + 8
        starts, ends = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64)
        offsets = np.zeros(len(texts) + 1, dtype=np.int64)
        if self._is_english:
            _cut_pieces(
                texts.data, texts.offsets, character_classes(), cut_tables(), starts, ends, offsets,
                np.empty((3, ROOM), dtype=np.int64),
            )  # fmt: skip
        else:
            _cut_by_class(texts.data, texts.offsets, character_classes(), starts, ends, offsets)
        count = int(offsets[-1])
        found = Words(
            starts[:count],
            ends[:count],
            np.empty(count, dtype=np.int64),
            np.empty(count, dtype=np.uint8),
            np.empty(count, dtype=np.uint64),
            offsets,
        )
        _describe(texts.data, mark_classes(), found.starts, found.ends, found.lengths, found.kinds, found.hashes)
        return found


@cache
def splitter(language: str) -> WordSplitter:
    """The splitter of a language."""
    return WordSplitter(language)


@kernel
def _cut_pieces(
    data: NDArray[np.uint8],
    texts: NDArray[np.int64],
    classes: NDArray[np.uint8],
    tables: CutTables,
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    offsets: NDArray[np.int64],
    room: NDArray[np.int64],
) -> None:
    """Cut every text at white space, and each piece into words."""
    count = 0
    for text in range(len(texts) - 1):
        at, stop = texts[text], texts[text + 1]
        while at < stop:
            start, run, run_kind, space, characters = at, 0, 0, 0, 0
            while at < stop:  # a piece
                byte = data[at]
                if byte < 0x80:
                    kind = classes[byte]
                    if kind & SPACE:
                        space = 1
                        break
                    if run == at - start:  # nothing but letters or digits so far
                        if run == 0:
                            run_kind = kind & (LETTER | DIGIT)
                        run += kind & run_kind != 0
                    at += 1
                else:
                    point, after = decode_at(data, at)
                    if classes[point] & SPACE:
                        space = after - at
                        break
                    at = after
                characters += 1
            size = at - start
            special = find(tables.keys, hash_bytes(data, start, at)) if 0 < size <= MOST_BYTES else -1
            if size == 0:
                pass
            elif special >= 0:
                count = write_special(special, start, tables, starts, ends, count)
            elif characters == 1 or run == size:
                starts[count], ends[count] = start, at
                count += 1
            elif _is_plain(data, start, run, size) and find(tables.keys, hash_bytes(data, start, start + run)) < 0:
                starts[count], ends[count] = start, start + run
                starts[count + 1], ends[count + 1] = start + run, at
                count += 2
            elif size < ROOM:
                count = cut_piece(data, start, at, tables, room, starts, ends, count)
            else:
                count = cut_long_piece(data, start, at, tables, starts, ends, count)
            at += space
        offsets[text + 1] = count


@kernel
def _is_plain(data: NDArray[np.uint8], start: int, run: int, size: int) -> bool:
    """Whether a piece is ASCII letters or digits with one common mark behind them that is a word of its own."""
    if run + 1 != size:
        return False
    mark = data[start + run]
    if mark == 46:  # a full stop belongs to single letters and to capitals after small ones
        last = start + run - 1
        is_capital = 65 <= data[last] <= 90
        return not is_capital or (run > 1 and 65 <= data[last - 1] <= 90)
    return bool(mark == 44 or mark == 58 or mark == 59 or mark == 33 or mark == 63 or mark == 41 or mark == 34)


@kernel
def _cut_by_class(
    data: NDArray[np.uint8],
    texts: NDArray[np.int64],
    classes: NDArray[np.uint8],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    offsets: NDArray[np.int64],
) -> None:
    """Runs of letters, marks and digits; every other visible character, and those of unspaced scripts, alone."""
    count = 0
    for text in range(len(texts) - 1):
        at, stop, is_open = texts[text], texts[text + 1], False
        while at < stop:
            point, after = decode_at(data, at)
            kind = classes[point]
            is_word = (kind & (LETTER | MARK | DIGIT)) != 0 and (kind & UNSPACED) == 0
            if kind & SPACE:
                is_open = False
            elif is_word and is_open:
                ends[count - 1] = after
            else:
                starts[count], ends[count] = at, after
                count += 1
                is_open = is_word
            at = after
        offsets[text + 1] = count


@kernel
def _describe(
    data: NDArray[np.uint8],
    marks: NDArray[np.uint8],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    lengths: NDArray[np.int64],
    kinds: NDArray[np.uint8],
    hashes: NDArray[np.uint64],
) -> None:
    """Fill lengths, kinds and hashes."""
    for word in range(len(starts)):
        at, end = starts[word], ends[word]
        either, all_of = np.int64(0), np.int64(0xFF)
        length = 0
        while at < end:
            point, at = decode_at(data, at)
            kind = np.int64(marks[point])
            either |= kind
            all_of &= kind
            length += 1
        bits = 0
        if either & LETTER:
            bits |= HAS_LETTER
        if all_of & SYMBOLS:
            bits |= IS_SYMBOLS
        if all_of & PUNCTUATION:
            bits |= IS_PUNCTUATION
        if length == 1 and all_of & SENTENCE_END:
            bits |= ENDS_SENTENCE
        lengths[word], kinds[word] = length, bits
        hashes[word] = hash_bytes(data, starts[word], end)
