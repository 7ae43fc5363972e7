"""How often each pre-token occurs in a corpus that need not fit in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from octad_tokenizer.errors import TokenizerError
from octad_tokenizer.patterns import PreTokenizer
from octad_tokenizer.special import SpecialTokens, checked_text
from octad_tokenizer.streaming import stream_segments

_BLOCK = 1 << 20


def count_pre_tokens(texts: Iterable[str | Path], special: SpecialTokens, pre_tokenizer: PreTokenizer) -> Counter[str]:
    """Pre-token to count over all texts; special tokens are borders and are not counted.

    Args:
        texts: texts (str) and UTF-8 files (`Path`).
        special: the special tokens.
        pre_tokenizer: what splits the text between them.

    Raises:
        TokenizerError: one str instead of an iterable, or a file that is not UTF-8.

    Memory: the distinct pre-tokens and those of one block of a million characters.
    """
    if isinstance(texts, (str, bytes)):
        raise TokenizerError(f"texts is one {type(texts).__name__}; pass [text], or [Path(...)] for a file")
    if isinstance(texts, Path):
        texts = [texts]
    allowed = frozenset(special.ids)
    counts: Counter[str] = Counter()
    for text in texts:
        blocks = _file_blocks(text) if isinstance(text, Path) else _text_blocks(checked_text(text))
        for segment, _ in stream_segments(blocks, special, allowed, pre_tokenizer.last_cut):
            counts.update(pre_tokenizer.split(segment))
    return counts


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
