"""Texts and files in blocks that can be counted alone, so that a corpus need not fit in memory."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from octad_tokenizer.errors import TokenizerError
from octad_tokenizer.special import SpecialTokens, checked_text
from octad_tokenizer.streaming import LastCut
from octad_tokenizer.train_sources import Column, Texts

_TAIL = 1 << 16
_QUICK_TRIES = 64


class Block(NamedTuple):
    """A text that can be counted alone, and the file that it is from; bytes are UTF-8 if the file is."""

    text: str | bytes
    path: Path | None

    def decoded(self) -> str:
        """The text as a str.

        Raises:
            TokenizerError: it is not UTF-8.
        """
        if isinstance(self.text, str):
            return self.text
        try:
            return self.text.decode()
        except UnicodeDecodeError as error:
            raise TokenizerError(f"{self.path} is not UTF-8 ({error.reason}); convert it first") from error


class Blocks:
    """Cuts texts between pre-tokens and outside of special tokens, whatever follows.

    Args:
        special: the special tokens.
        last_cut: where a text without special tokens may be cut.
        size: of a block, in characters or bytes; one is larger if there is no place to cut it.
    """

    def __init__(self, special: SpecialTokens, last_cut: LastCut, size: int) -> None:
        self._names = list(special.ids)
        self._longest = max(map(len, special.ids), default=1)
        self._last_cut = last_cut
        self._size = size

    def of(self, texts: Texts) -> Iterator[Block]:
        """The blocks of all texts in order, and the file that each is from.

        Raises:
            TokenizerError: something is no text.
            OSError: a file cannot be read.
        """
        for text in texts:
            if isinstance(text, Path):
                yield from (Block(block, text) for block in self._of_file(text))
            elif isinstance(text, Column):
                for value in text:
                    yield from (Block(block, None) for block in self._of_text(value))
            else:
                yield from (Block(block, None) for block in self._of_text(checked_text(text)))

    def _of_text(self, text: str) -> Iterator[str]:
        start, size = 0, self._size
        while len(text) - start > 2 * size:
            cut = self._cut(text[start : start + size])
            if cut is None:
                size *= 2  # so that a text without a place to cut costs no more than looking at it twice
                continue
            yield text[start : start + cut]
            start, size = start + cut, self._size
        yield text[start:] if start else text

    def _of_file(self, path: Path) -> Iterator[bytes]:
        held, size = b"", self._size
        with path.open("rb") as file:
            while chunk := file.read(size):
                held = held + chunk if held else chunk
                cut = self._byte_cut(held) if len(chunk) == size else None
                if cut is None:
                    size = max(self._size, len(held))
                    continue
                yield held[:cut]
                held, size = held[cut:], self._size
        if held:
            yield held

    def _byte_cut(self, block: bytes) -> int | None:
        """Where a block of UTF-8 may be cut; None also if it is not UTF-8, which is found out when it is counted."""
        for start in (max(0, len(block) - _TAIL), 0):
            while start < len(block) and block[start] & 0xC0 == 0x80:
                start += 1
            try:
                text = codecs.getincrementaldecoder("utf-8")().decode(block[start:])
            except UnicodeDecodeError:
                return None
            cut = self._cut(text)
            if cut is not None and (cut >= self._longest or not start):
                return start + len(text[:cut].encode())
        return None

    def _cut(self, text: str) -> int | None:
        """The last place where `text` may be cut, looking at its end first."""
        for start in (max(0, len(text) - _TAIL), 0):
            cut = self._cut_outside_names(text[start:])
            if cut is not None and (
                cut >= self._longest or not start
            ):  # else a name may begin before the end looked at
                return start + cut
        return None

    def _cut_outside_names(self, text: str) -> int | None:
        """A special token may begin in the last characters and end in what follows; so they are left alone."""
        limit = len(text) - self._longest + 1
        while limit > 0:
            cut = self._last_cut(text[:limit])
            if not cut:
                return None
            starts = [text.find(name, max(0, cut - len(name) + 1), cut + len(name) - 1) for name in self._names]
            crossing = [start for start in starts if start >= 0]
            if not crossing:
                return cut
            limit = min(crossing)
        return None
