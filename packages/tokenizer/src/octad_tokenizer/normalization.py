"""Text normalisation of BERT and SentencePiece vocabularies, equal on every Python.

`unicodedata` knows the Unicode version of its Python, so its answers change with it. Two ways around:

- General categories, white space and small letters come from `normal_tables`, which is pinned.
- NFD and NFKD need much larger tables, but Unicode promises never to change them for a character once it is assigned
  (Normalization Stability Policy). So `unicodedata.normalize` may be asked about the characters that the pinned version
  decomposes or reorders, and about no others: `normal_tables` lists them. All others are starters that stand for
  themselves, hence each run of listed characters can be normalised alone.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from octad_tokenizer import normal_tables

Normalizer: TypeAlias = Callable[[str], str]
"""Text to text."""


@dataclass(frozen=True)
class BertNormalizer:
    """What BERT does to a text before it splits it into words (Devlin et al. 2019, `BasicTokenizer`).

    Args:
        clean_text: remove control characters, make all white space spaces.
        handle_chinese_chars: put spaces around each Chinese character.
        strip_accents: decompose (NFD) and remove nonspacing marks; None is the value of `lowercase`.
        lowercase: small letters, one character at a time (a final sigma is a common one).
    """

    clean_text: bool = True
    handle_chinese_chars: bool = True
    strip_accents: bool | None = None
    lowercase: bool = True

    def __call__(self, text: str) -> str:
        """The normalised text."""
        if self.clean_text:
            text = char_class(normal_tables.CONTROL).sub("", text)
            text = char_class(normal_tables.SPACE).sub(" ", text)
        if self.handle_chinese_chars and not text.isascii():
            text = char_class(normal_tables.CHINESE).sub(r" \g<0> ", text)
        if self.lowercase if self.strip_accents is None else self.strip_accents:
            text = char_class(normal_tables.NONSPACING).sub("", decomposed(text, "NFD"))
        return lowered(text) if self.lowercase else text


def bert_words(text: str) -> list[str]:
    """Stretches without white space, each punctuation mark apart."""
    return _bert_word().findall(text)


def decomposed(text: str, form: Literal["NFD", "NFKD"]) -> str:
    """NFD or NFKD of the pinned Unicode version."""
    if text.isascii():
        return text
    listed = normal_tables.CANONICAL if form == "NFD" else normal_tables.COMPATIBLE
    return char_class(listed, "+").sub(lambda run: unicodedata.normalize(form, run[0]), text)


def lowered(text: str) -> str:
    """Small letters of the pinned Unicode version, whatever stands beside them."""
    return text.lower() if text.isascii() else text.translate(_small_letters())


def without_marks(text: str) -> str:
    """The text without marks of any kind (spacing ones and enclosing ones too)."""
    return char_class(normal_tables.MARK).sub("", text)


def white_space_words(text: str) -> list[str]:
    """Stretches without white space."""
    return char_class(normal_tables.SPACE, negated=True, suffix="+").findall(text)


@functools.cache
def char_class(table: str, suffix: str = "", *, negated: bool = False) -> re.Pattern[str]:
    """The expression that finds one character of a table (or, negated, one of no table)."""
    return re.compile(f"[{'^' * negated}{ranges(table)}]{suffix}")


def ranges(table: str) -> str:
    """A table as the inside of a regular expression's brackets."""
    return "".join(
        re.escape(chr(first)) + (f"-{re.escape(chr(last))}" if last > first else "") for first, last in _pairs(table)
    )


def characters(table: str) -> str:
    """The characters of a (short) table."""
    return "".join(chr(code) for first, last in _pairs(table) for code in range(first, last + 1))


def _pairs(table: str) -> Iterator[tuple[int, int]]:
    for entry in table.split(","):
        first, _, last = entry.partition("-")
        yield int(first, 16), int(last or first, 16)


@functools.cache
def _bert_word() -> re.Pattern[str]:
    space, mark = ranges(normal_tables.SPACE), ranges(normal_tables.PUNCTUATION)
    return re.compile(f"[{mark}]|[^{space}{mark}]+")


@functools.cache
def _small_letters() -> dict[int, int | str]:
    small: dict[int, int | str] = {0x130: "i\u0307"}
    for run in normal_tables.LOWER.split(","):
        where, _, shift = run.partition(":")
        span, _, step = where.partition("/")
        first, last = (int(code, 16) for code in span.split("-"))
        small |= {code: code + int(shift) for code in range(first, last + 1, int(step))}
    return small
