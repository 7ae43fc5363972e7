"""Exact streaming: release only the text that nothing which follows can change."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Iterator

from octad_tokenizer.errors import TokenizerError
from octad_tokenizer.special import SpecialTokens

LastCut = Callable[[str], int | None]
"""Where a text may be cut last so that both sides can be encoded alone; None where nowhere."""


class TextBuffer:
    """Collects fragments of one text and releases its settled beginning.

    Cost: each fragment is looked at once, with one character of what came before it; so fragments of one character
    are as exact, and no more than linear.
    """

    def __init__(self, last_cut: LastCut) -> None:
        self._last_cut = last_cut
        self._parts: list[str] = []

    def push(self, fragment: str) -> str:
        """Take `fragment`; return the text that is settled now (it may be empty)."""
        if not fragment:
            return ""
        context = self._parts[-1][-1] if self._parts else ""
        cut = self._last_cut(context + fragment)
        if cut is None:
            self._parts.append(fragment)
            return ""
        cut -= len(context)
        settled = "".join(self._parts) + fragment[:cut]
        self._parts = [fragment[cut:]] if cut < len(fragment) else []
        return settled

    def flush(self) -> str:
        """The rest: no text follows."""
        rest = "".join(self._parts)
        self._parts = []
        return rest


def stream_segments(
    chunks: Iterable[str], special: SpecialTokens, allowed: frozenset[str], last_cut: LastCut
) -> Iterator[tuple[str, int | None]]:
    """Yield (text, id of the special token after it or None); each text can be encoded alone.

    Memory: the longest stretch without a cut, plus one chunk.
    """
    buffer = TextBuffer(last_cut)
    for fragment, special_id in special.split_stream(chunks, allowed):
        settled = buffer.push(fragment)
        if special_id is not None:
            yield settled + buffer.flush(), special_id
        elif settled:
            yield settled, None
    if rest := buffer.flush():
        yield rest, None


def decoded(chunks: Iterable[str | bytes]) -> Iterator[str]:
    """Chunks of text as they are, chunks of bytes as the characters that are whole so far.

    Raises:
        TokenizerError: bytes that are not UTF-8, or that end or go over to text inside a character.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for chunk in chunks:
            if isinstance(chunk, bytes):
                yield decoder.decode(chunk)
            else:
                decoder.decode(b"", True)
                yield chunk
        decoder.decode(b"", True)
    except UnicodeDecodeError:
        raise not_utf8() from None


def not_utf8() -> TokenizerError:
    """The error for chunks of other bytes."""
    return TokenizerError('the chunks are not UTF-8; decode them first, by bytes.decode(errors="replace")')
