"""Classes of characters as a table, and the step from one character to the next, for kernels that read UTF-8."""

import sys
import unicodedata
from functools import cache

import numpy as np
from numpy.typing import NDArray

from octad_data.kernel import kernel

LETTER = 1  # categories L*
MARK = 2  # M*: accents and vowel signs, parts of a word
DIGIT = 4  # N*
SPACE = 8  # what str.isspace() says
PUNCTUATION = 16  # P*
SYMBOL = 32  # S*
UPPER = 64  # Lu and Lt
UNSPACED = 128  # scripts written without spaces between words, in which each character counts as one
WORD = LETTER | MARK | DIGIT

UNSPACED_RANGES = (  # Thai and Lao, Burmese, Khmer and its neighbours, kana, Han and its extensions
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x3040, 0x30FF),
    (0x3400, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)
CLASS_OF_CATEGORY = {
    "L": LETTER, "M": MARK, "N": DIGIT, "P": PUNCTUATION, "S": SYMBOL, "Z": 0, "C": 0,
}  # fmt: skip


@cache
def character_classes() -> NDArray[np.uint8]:
    """The classes of each code point as bits; uint8, shape (0x110000,), read-only.

    Cost: 0.2 s once a process.
    """
    characters = [chr(point) for point in range(sys.maxunicode + 1)]
    categories = [unicodedata.category(character) for character in characters]
    bits = {name: CLASS_OF_CATEGORY[name[0]] | (UPPER if name in ("Lu", "Lt") else 0) for name in set(categories)}
    table = np.array([bits[name] for name in categories], dtype=np.uint8)
    table[[point for point, character in enumerate(characters) if character.isspace()]] |= SPACE
    for first, last in UNSPACED_RANGES:
        span = table[first : last + 1]
        span[(span & (LETTER | MARK)) != 0] |= UNSPACED
    table.flags.writeable = False
    return table


@cache
def lower_case() -> NDArray[np.uint32]:
    """The lower-case form of each code point, itself where that is more than one; uint32, shape (0x110000,), read-only.

    Cost: 0.15 s once a process.
    """
    table = np.arange(sys.maxunicode + 1, dtype=np.uint32)
    for point in range(sys.maxunicode + 1):
        lower = chr(point).lower()
        if len(lower) == 1:
            table[point] = ord(lower)
    table.flags.writeable = False
    return table


@kernel
def decode_at(data: NDArray[np.uint8], place: int) -> tuple[int, int]:
    """The code point that begins at a place of valid UTF-8, and the place after it."""
    first = int(np.int64(data[place]))
    if first < 0x80:
        return first, place + 1
    second = int(np.int64(data[place + 1])) & 0x3F
    if first < 0xE0:
        return (first & 0x1F) << 6 | second, place + 2
    third = int(np.int64(data[place + 2])) & 0x3F
    if first < 0xF0:
        return (first & 0x0F) << 12 | second << 6 | third, place + 3
    return (first & 0x07) << 18 | second << 12 | third << 6 | (int(np.int64(data[place + 3])) & 0x3F), place + 4
