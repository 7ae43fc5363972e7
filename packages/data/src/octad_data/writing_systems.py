"""Writing systems: which one each letter belongs to, and which one a text is written in."""

import unicodedata
from collections import Counter
from functools import cache

from octad_data.errors import DataError

HAN_KIN = {"CJK": "Han", "KANGXI": "Han", "HIRAGANA": "Kana", "KATAKANA": "Kana", "HANGUL": "Hangul", "LATIN": "Latin"}


@cache
def script_of(character: str) -> str:
    """`Latin`, `Cyrillic`, `Han`, `Kana`, ... by the first word of a letter's Unicode name; empty for no letter.

    Raises:
        DataError: more or less than one character.
    """
    if len(character) != 1:
        raise DataError(f"{character!r} is {len(character)} characters; give one")
    if not character.isalpha():
        return ""
    first = unicodedata.name(character, "OTHER").split()[0].split("-")[0]
    return HAN_KIN.get(first, first.capitalize())


def scripts(text: str) -> dict[str, float]:
    """The share of each script among the letters of a text, the largest first; empty where there is no letter."""
    counts = Counter(text)
    found = Counter[str]()
    for character, count in counts.items():
        script = script_of(character)
        if script:
            found[script] += count
    total = found.total()
    return {script: count / total for script, count in found.most_common()}
