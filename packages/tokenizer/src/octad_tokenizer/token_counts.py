"""How many tokens parts of a text have, exactly and without encoding them anew.

Pre-tokens are found from left to right and no published pattern looks behind, so from a border of the text's own
pre-tokens on, any part of the text has the text's pre-tokens, until near the part's end, where the text beyond could
matter: up to the last place where a text may be cut (see `patterns`) it does not.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from itertools import accumulate

from octad_tokenizer.bpe import BytePairTokenizer
from octad_tokenizer.errors import TokenizerError
from octad_tokenizer.special import checked_text, utf8

_STEP = 64


def _count_piece(tokenizer: BytePairTokenizer, pre_token: str) -> int:
    return len(tokenizer.merge_bytes(utf8(pre_token)))


class IntervalCounter:
    """Counts the tokens of `text[start:stop]`; special tokens in it are plain text.

    Args:
        tokenizer: whose tokens.
        text: the whole text.

    Cost: one encoding of `text` at first; then, for an interval, about the encoding of the pre-tokens at its two ends,
    whatever is between. For a pattern of your own nothing is known about cuts, and the interval is encoded.
    """

    def __init__(self, tokenizer: BytePairTokenizer, text: str) -> None:
        self._tokenizer = tokenizer
        self._text = checked_text(text)
        pieces = tokenizer.pre_tokens(text)
        self._borders = array("Q", accumulate(map(len, pieces), initial=0))
        self._counts = array("Q", accumulate((_count_piece(tokenizer, piece) for piece in pieces), initial=0))

    def __len__(self) -> int:
        """The tokens of the whole text."""
        return self._counts[-1]

    def count(self, start: int, stop: int) -> int:
        """`len(encode(text[start:stop], allowed_special="none"))`.

        Raises:
            TokenizerError: not 0 <= start <= stop <= len(text).
        """
        if not 0 <= start <= stop <= len(self._text):
            raise TokenizerError(
                f"start={start}, stop={stop} is no interval of a text of {len(self._text)} characters; "
                f"0 <= start <= stop <= {len(self._text)} is"
            )
        head, first = self._head(start, stop)
        last = self._last_border(first, stop)
        if last < 0:
            return self._count(start, stop)
        return (
            head
            + self._counts[last]
            - self._counts[bisect_left(self._borders, first)]
            + self._count(self._borders[last], stop)
        )

    def _count(self, start: int, stop: int) -> int:
        return self._tokenizer.count(self._text[start:stop], allowed_special="none")

    def _head(self, start: int, stop: int) -> tuple[int, int]:
        """The tokens from `start` to the first pre-token's end that is a border of the text too, and this border."""
        size = _STEP
        while True:
            tokens, at = 0, start
            window = self._text[start : min(start + size, stop)]
            settled = self._tokenizer._last_cut(window) or 0
            for piece in self._tokenizer.pre_tokens(window[:settled]):
                if self._is_border(at):
                    return tokens, at
                tokens += _count_piece(self._tokenizer, piece)
                at += len(piece)
            if self._is_border(at):
                return tokens, at
            if start + size >= stop:
                return 0, stop + 1
            size *= 4

    def _is_border(self, at: int) -> bool:
        found = bisect_left(self._borders, at)
        return found < len(self._borders) and self._borders[found] == at

    def _last_border(self, first: int, stop: int) -> int:
        """The number of the last border from `first` on up to which the text beyond `stop` does not matter, or -1."""
        size = _STEP
        while first <= stop:
            begin = max(first, stop - size)
            cut = self._tokenizer._last_cut(self._text[begin:stop])
            if cut is not None or begin == first:
                border = bisect_right(self._borders, begin + (cut or 0)) - 1
                return border if self._borders[border] >= first else -1
            size *= 4
        return -1


class AppendCounter:
    """Counts the tokens of a text that grows at its end, all of it plain text.

    Cost: of `append`, the encoding of what is new and of the end that was not settled yet.
    """

    def __init__(self, tokenizer: BytePairTokenizer, text: str = "") -> None:
        self._tokenizer = tokenizer
        self._settled = 0
        self._rest = ""
        self.append(text)

    def append(self, text: str) -> int:
        """Add `text` at the end; return how many tokens there are now."""
        self._rest += checked_text(text)
        cut = self._tokenizer._last_cut(self._rest)
        if cut is not None:
            self._settled += self._tokenizer.count(self._rest[:cut], allowed_special="none")
            self._rest = self._rest[cut:]
        self._open = self._tokenizer.count(self._rest, allowed_special="none")
        return len(self)

    def __len__(self) -> int:
        return self._settled + self._open


class PrependCounter:
    """Counts the tokens of a text that grows at its beginning, all of it plain text.

    Cost: of `prepend`, the encoding of what is new and of the pre-tokens that change. Memory: the text.
    """

    def __init__(self, tokenizer: BytePairTokenizer, text: str = "") -> None:
        self._tokenizer = tokenizer
        self._pieces: list[str] = []  # the last pre-token first
        self._count = 0
        self.prepend(text)

    def prepend(self, text: str) -> int:
        """Add `text` at the beginning; return how many tokens there are now."""
        text, taken = checked_text(text), 0
        while True:
            known = min(4 << taken, len(self._pieces)) if text else 0
            head = self._pieces[len(self._pieces) - known :][::-1]
            found = self._join(text, head, is_all=known == len(self._pieces))
            if found is not None:
                break
            taken += 1
        pieces, replaced = found
        for piece in head[:replaced]:
            self._count -= _count_piece(self._tokenizer, piece)
        for piece in pieces:
            self._count += _count_piece(self._tokenizer, piece)
        del self._pieces[len(self._pieces) - replaced :]
        self._pieces += reversed(pieces)
        return len(self)

    def _join(self, text: str, head: list[str], *, is_all: bool) -> tuple[list[str], int] | None:
        """The new pre-tokens, and how many of `head` they replace; None where `head` is too short to tell."""
        joined = text + "".join(head)
        settled = len(joined) if is_all else self._tokenizer._last_cut(joined) or 0
        borders = {end: at for at, end in enumerate(accumulate(map(len, head), initial=len(text)))}
        end, pieces = 0, []
        if not text:
            return [], 0
        for piece in self._tokenizer.pre_tokens(joined[:settled]):
            end += len(piece)
            pieces.append(piece)
            if end in borders:
                return pieces, borders[end]
        return None

    def __len__(self) -> int:
        return self._count
