"""Words without punctuation and case, as numbers: what shingles, decontamination and importance weights are made of."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from octad_data.characters import DIGIT, LETTER, MARK, SPACE, UNSPACED, character_classes, decode_at
from octad_data.hashing import hash_bytes
from octad_data.kernel import kernel
from octad_data.texts import Texts

IN_WORD = LETTER | MARK | DIGIT
UNDERSCORE = 0x5F


def folded(text: str) -> str:
    """Unicode's compatibility form (NFKC), then full case folding: ligatures, widths and case tell no texts apart."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


@dataclass(frozen=True)
class PlainWords:
    """The words of many folded texts, end to end.

    Attributes:
        texts: folded; places are bytes of these.
        hashes: 64 bits a word, never 0; shape (n,).
        starts: first byte of each word.
        ends: the byte after it.
        offsets: the first word of each text, and the number of all; shape (texts + 1,).
    """

    texts: Texts
    hashes: NDArray[np.uint64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    offsets: NDArray[np.int64]


def plain_words(texts: Iterable[str]) -> PlainWords:
    """Runs of letters, marks, digits and `_`; each character alone in scripts that are written without spaces.

    A text without any such word is split at white space.

    Cost: about 60 MB of text a second.
    """
    buffer = Texts.of(map(folded, texts))
    room = buffer.num_bytes
    hashes = np.empty(room, dtype=np.uint64)
    starts, ends = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64)
    offsets = np.zeros(len(buffer) + 1, dtype=np.int64)
    _cut(buffer.data, buffer.offsets, character_classes(), hashes, starts, ends, offsets)
    count = int(offsets[-1])
    return PlainWords(buffer, hashes[:count].copy(), starts[:count].copy(), ends[:count].copy(), offsets)


@kernel
def _cut(
    data: NDArray[np.uint8],
    texts: NDArray[np.int64],
    classes: NDArray[np.uint8],
    hashes: NDArray[np.uint64],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    offsets: NDArray[np.int64],
) -> None:
    """Fill hashes, starts, ends and offsets."""
    count = 0
    for text in range(len(texts) - 1):
        first = count
        count = _cut_one(data, texts[text], texts[text + 1], classes, False, hashes, starts, ends, count)
        if count == first:
            count = _cut_one(data, texts[text], texts[text + 1], classes, True, hashes, starts, ends, count)
        offsets[text + 1] = count


@kernel
def _cut_one(
    data: NDArray[np.uint8],
    at: int,
    stop: int,
    classes: NDArray[np.uint8],
    by_space: bool,
    hashes: NDArray[np.uint64],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    count: int,
) -> int:
    """Write down the words of one text from place `count` on; the place behind them."""
    is_open = False
    while at < stop:
        point, after = decode_at(data, at)
        kind = classes[point]
        is_alone = False
        if by_space:
            belongs = (kind & SPACE) == 0
        else:
            belongs = (kind & IN_WORD) != 0 or point == UNDERSCORE
            is_alone = (kind & UNSPACED) != 0
        if is_open and (is_alone or not belongs):
            hashes[count], ends[count] = hash_bytes(data, starts[count], at), at
            count += 1
            is_open = False
        if belongs and not is_open:
            starts[count], is_open = at, True
        if belongs and is_alone:
            hashes[count], ends[count] = hash_bytes(data, at, after), after
            count += 1
            is_open = False
        at = after
    if is_open:
        hashes[count], ends[count] = hash_bytes(data, starts[count], stop), stop
        count += 1
    return count
