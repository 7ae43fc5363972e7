"""How often each pre-token occurs in a corpus that need not fit in memory: the reference, in pure Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from octad_tokenizer.errors import TokenizerError
from octad_tokenizer.patterns import SUPERWORDS, PreTokenizer, last_line_cut
from octad_tokenizer.special import SpecialTokens, checked_text
from octad_tokenizer.streaming import LastCut, stream_segments
from octad_tokenizer.train_plan import nothing_matched
from octad_tokenizer.train_sources import Column, Texts

_BLOCK = 1 << 20


def count_pre_tokens(
    texts: Texts, special: SpecialTokens, pre_tokenizers: Sequence[PreTokenizer]
) -> list[Counter[str]]:
    """Pre-token to count over all texts, for each way to split them; special tokens are borders and are not counted.

    Args:
        texts: texts (str), UTF-8 files (`Path`) and columns.
        special: the special tokens.
        pre_tokenizers: what splits the text between them.

    Raises:
        TokenizerError: something is no text, a file is not UTF-8, or there are texts but a pattern matches nothing.
        OSError: a file cannot be read.

    Memory: the distinct pre-tokens and those of one block of a million characters.
    """
    counts: list[Counter[str]] = [Counter() for _ in pre_tokenizers]
    unmatched = set(pre_tokenizers)
    for segment in segments(texts, special, shared_cut(pre_tokenizers)):
        for counter, pre_tokenizer in zip(counts, pre_tokenizers, strict=True):
            counter.update(pre_tokenizer.split(segment))
        unmatched = {one for one in unmatched if not one.matches(segment)}
    if unmatched and counts[0]:
        raise nothing_matched(unmatched.pop().pattern)
    return counts


def shared_cut(pre_tokenizers: Sequence[PreTokenizer]) -> LastCut | None:
    """Where all of these allow a text to be cut; None if for one of them that is not known."""
    lines = [one for one in pre_tokenizers if one.pattern == SUPERWORDS]
    if not all(one.is_published or one in lines for one in pre_tokenizers):
        return None
    if lines:
        return last_line_cut if len(lines) < len(pre_tokenizers) else lines[0].last_cut
    return _quick_cut(pre_tokenizers[0].last_cut)


def _quick_cut(last_cut: LastCut) -> LastCut:
    """Before the last space if it follows an ASCII letter or digit, which needs no regular expression."""

    def cut(text: str) -> int | None:
        at = text.rfind(" ")
        return at if at > 0 and text[at - 1].isascii() and text[at - 1].isalnum() else last_cut(text)

    return cut


def segments(texts: Texts, special: SpecialTokens, last_cut: LastCut | None) -> Iterator[str]:
    """Texts without special tokens that can be split alone, in order."""
    allowed = frozenset(special.ids)
    for text in texts:
        for blocks in _documents(text):
            for segment, _ in stream_segments(blocks, special, allowed, last_cut or _nowhere):
                yield segment


def _nowhere(text: str) -> None:
    """The cut of a pattern that we do not know."""


def _documents(text: str | Path | Column) -> Iterator[Iterator[str]]:
    if isinstance(text, Path):
        yield _file_blocks(text)
    elif isinstance(text, Column):
        yield from map(_text_blocks, text)
    else:
        yield _text_blocks(checked_text(text))


def _text_blocks(text: str) -> Iterator[str]:
    for start in range(0, len(text), _BLOCK):
        yield text[start : start + _BLOCK]


def _file_blocks(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", newline="") as file:  # newline="": \r\n stays what it is
        try:
            while block := file.read(_BLOCK):
                yield block
        except UnicodeDecodeError as error:
            raise TokenizerError(f"{path} is not UTF-8 ({error.reason}); convert it first") from error
