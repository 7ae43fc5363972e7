r"""Pre-tokens: the pieces of a text that merges never cross, found by a regular expression.

Every text is kept whole. What the pattern does not match becomes a pre-token of its own, as Hugging Face's
`Split(..., behavior="isolated")` has it (tiktoken would drop it).

Where a stream may be cut. In all published patterns a pre-token that holds a letter or a number ends before any
character other than a letter, number, mark or apostrophe (contractions begin with one); and no pre-token goes from a
non-space to a space, except that punctuation takes line ends with it. No alternative looks behind, and `\s+(?!\S)`
looks only at the end of a run of spaces. So a text may be cut between such two characters, and both sides have the
pre-tokens that they have together. For a pattern of your own nothing is known, and a stream waits for its end or for
the next special token.
"""

from __future__ import annotations

import functools
from itertools import pairwise
from typing import TYPE_CHECKING

from octad_tokenizer import native
from octad_tokenizer.errors import TokenizerError

if TYPE_CHECKING:
    import regex  # type: ignore[import-untyped, unused-ignore]

GPT2 = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
"""GPT-2 (Radford et al. 2019); Hugging Face's `ByteLevel` without a pattern of its own."""

CL100K = (
    r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"""
    r"""|\s*[\r\n]+|\s+(?!\S)|\s+"""
)
"""GPT-4's `cl100k_base`: numbers by three digits, a line end stays with what it ends.

As first published, and as Hugging Face's files and Llama 3 have it. tiktoken's newer spelling differs in one case:
white space that ends a text is one pre-token there, even after a line end.
"""

LLAMA3 = CL100K
"""Llama 3 took GPT-4's pattern."""

QWEN2 = CL100K.replace(r"\p{N}{1,3}", r"\p{N}")
"""Qwen 2 and 3: the same with single digits."""

_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"

O200K = (
    rf"""[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_CONTRACTION}"""
    r"""|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
)
"""GPT-4o's `o200k_base`: a word also ends where lower case turns to upper, and takes its contraction."""

CL100K_TIKTOKEN = (
    r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]"""
    r"""|\s+(?!\S)|\s"""
)
"""tiktoken's newer spelling of `CL100K`: white space that ends a text is one pre-token, even after a line end."""

SUPERWORDS = r"[^\r\n]*[\r\n](?:\s*[\r\n])?(?:[^\S\r\n]+(?!\S))?|[^\r\n]+"
"""Lines, for tokens that span words: a line, its line ends, blank lines after it, and the next one's indentation but
for its last character. Where it splits, `GPT2`, `CL100K` and `QWEN2` split too (`O200K` too, but before a slash).
"""

_GPT2_TIKTOKEN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""
_GPT2_RELEASED = GPT2.replace(r" ?\p{L}+| ?\p{N}+", r" ?[\p{L}]+| ?[\p{N}]+")

_ENGINE_PATTERNS = {
    GPT2: 0,
    _GPT2_TIKTOKEN: 0,
    _GPT2_RELEASED: 0,
    CL100K: 1,
    O200K: 2,
    QWEN2: 3,
    CL100K_TIKTOKEN: 6,
}
"""`enum octad_pattern` of the C engine, by the expressions that its scanners follow."""

PUBLISHED = frozenset(_ENGINE_PATTERNS)
"""The patterns for which the rule about cutting streams is proven."""

_SUPERWORDS_CUT = r"(?r)[\r\n][^\s/]"
_LINE_CUT = r"(?r)\S[\r\n][^\s/]"
_CUT = r"(?r)[\p{L}\p{N}][^\p{L}\p{N}\p{M}']|\S[^\S\r\n]"


class PreTokenizer:
    """Splits a text into pre-tokens: `"".join(split(text)) == text`.

    Args:
        pattern: a regular expression in the syntax of the `regex` library.

    Raises:
        TokenizerError: the pattern is no regular expression, or matches the empty text.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.is_published = isinstance(pattern, str) and pattern in PUBLISHED
        if not self.is_published:
            _compiled(pattern)

    def split(self, text: str) -> list[str]:
        """The pre-tokens of `text`, in order."""
        number = engine_pattern(self.pattern)
        if native.engine is not None and number is not None:
            try:
                return native.engine.pre_tokens(text, number)  # type: ignore[no-any-return]
            except UnicodeEncodeError:
                pass  # a lone surrogate, which UTF-8 cannot write and the expression need not
        return self._split_by_expression(text)

    def matches(self, text: str) -> bool:
        """Whether the pattern finds anything in `text`; if not, `split` leaves it whole."""
        return self.is_published or _compiled(self.pattern).search(text) is not None

    def _split_by_expression(self, text: str) -> list[str]:
        expression = _compiled(self.pattern)
        if not expression.groups:
            pieces: list[str] = expression.findall(text)
            if sum(map(len, pieces)) == len(text) and "" not in pieces:
                return pieces
        return self._split_with_gaps(text)

    def _split_with_gaps(self, text: str) -> list[str]:
        borders = {0, len(text)}
        for match in _compiled(self.pattern).finditer(text):
            borders.update(match.span())
        return [text[start:stop] for start, stop in pairwise(sorted(borders))]

    def last_cut(self, text: str) -> int | None:
        """The last place where `text`, and any text that goes on from it, may be cut."""
        if not self.is_published and self.pattern != SUPERWORDS:
            return None
        match = _compiled(_CUT if self.is_published else _SUPERWORDS_CUT).search(text)
        return None if match is None else match.start() + 1


def last_line_cut(text: str) -> int | None:
    r"""The last place where `text` may be cut for `SUPERWORDS` and for all published patterns.

    It follows a line end that is all of its white space: of more, `\s+(?!\S)` would take another part at a text's end.
    """
    match = _compiled(_LINE_CUT).search(text)
    return None if match is None else match.start() + 2


def engine_pattern(pattern: str) -> int | None:
    """The number of the C engine's scanner that splits as `pattern` does; None for a pattern of your own."""
    return _ENGINE_PATTERNS.get(pattern)


@functools.cache
def _compiled(pattern: str) -> regex.Pattern[str]:
    import regex  # 13 ms, which a program that only reads a vocabulary need not pay

    if not isinstance(pattern, str):
        raise TokenizerError(f"pattern={pattern!r} is not a str; pass the expression's source")
    try:
        compiled = regex.compile(pattern)
    except regex.error as error:
        raise TokenizerError(f"pattern={pattern!r} is not a regular expression: {error}") from error
    if compiled.fullmatch(""):
        raise TokenizerError(f"pattern={pattern!r} matches the empty text, so it finds no pre-tokens; use + for *")
    return compiled
