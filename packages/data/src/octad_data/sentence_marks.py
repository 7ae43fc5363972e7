"""Marks as the well-known filters see them: what ends a sentence or a line, what is no word."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from octad_data.characters import LETTER, PUNCTUATION, character_classes

SENTENCE_END = 2  # a bit beside those of `characters`: marks at which sentences are cut
SYMBOLS = 4  # of which a "word" may consist without being one
LINE_END = 8  # Unicode's Sentence_Terminal: marks at which a line may well end

# Unicode's property Sentence_Terminal, as ranges of code points.
TERMINAL_RANGES = """
21 2e 3f 589 61d-61f 6d4 700-702 7f9 837 839 83d-83e 964-965 104a-104b 1362 1367-1368 166e 1735-1736 17d4-17d6 17d9-17da
1803 1809 1944-1945 1aa8-1aab 1b5a-1b5b 1b5e-1b5f 1b7d-1b7e 1c3b-1c3c 1c7e-1c7f 203c-203d 2047-2049 2e2e 2e3c 2e53-2e54
3002 a4ff a60e-a60f a6f3 a6f7 a876-a877 a8ce-a8cf a92f a9c8-a9c9 aa5d-aa5f aaf0-aaf1 abeb fe52 fe56-fe57 ff01 ff0e ff1f
ff61 10a56-10a57 10f55-10f59 10f86-10f89 11047-11048 110be-110c1 11141-11143 111c5-111c6 111cd 111de-111df 11238-11239
1123b-1123c 112a9 1144b-1144c 115c2-115c3 115c9-115d7 11641-11642 1173c-1173e 11944 11946 11a42-11a43 11a9b-11a9c
11c41-11c42 11ef7-11ef8 11f43-11f44 16a6e-16a6f 16af5 16b37-16b38 16b44 16e98 1bc9f 1da88
"""
# Of these the rule-based sentence cutters know nothing: they came later, or to scripts that the cutters leave out.
UNKNOWN_TO_CUTTERS = """
61d-61e 837 839 83d-83e 17d4-17d6 17d9-17da 1b7d-1b7e 2e53-2e54 10f55-10f59 10f86-10f89 11944 11946 11ef7-11ef8
11f43-11f44 16e98
"""
SIGNS = "!/—”:％１〈&(、━\\【#%「」，】；+^]~“《„';’{|∶´[=-`*．（–？！：$～«〉,><》)?）。…@_.\"}►»"


@cache
def mark_classes() -> NDArray[np.uint8]:
    """For each code point bits of `LETTER`, `PUNCTUATION` and those of this module; uint8, shape (0x110000,)."""
    table = character_classes() & np.uint8(LETTER | PUNCTUATION)
    table[terminal_marks()] |= LINE_END | SYMBOLS | SENTENCE_END
    table[_points(UNKNOWN_TO_CUTTERS)] &= 0xFF - SENTENCE_END
    table[[ord(sign) for sign in SIGNS]] |= SYMBOLS
    for first, last in ((0, 8), (11, 31), (127, 159)):
        table[first : last + 1] |= SYMBOLS
    table.flags.writeable = False
    return table


def terminal_marks() -> list[int]:
    """Code points that end sentences, in any script."""
    return _points(TERMINAL_RANGES)


def _points(ranges: str) -> list[int]:
    found = list[int]()
    for part in ranges.split():
        first, _, last = part.partition("-")
        found += range(int(first, 16), int(last or first, 16) + 1)
    return found
