"""SentencePiece's precompiled character maps: a double-array trie of what to replace, and by what.

Layout: the trie's size in bytes (little-endian u32), its units (u32 each), then the replacements, each ended by a zero.
A unit of the trie (Aoe 1989, as darts-clone packs it) holds the byte that leads to it, where its children are, and
whether a key ends there; the children of the unit at p lie at p ^ offset ^ byte, the value of a key at byte 0.
"""

from __future__ import annotations

import sys
from array import array
from typing import TYPE_CHECKING

from octad_tokenizer.errors import TokenizerError

if TYPE_CHECKING:
    import regex  # type: ignore[import-untyped, unused-ignore]

_SHORT_GRAPHEME = 6
_LONGEST_RULE = 32
_LABEL = 0x800000FF


class Charsmap:
    """Replacements of strings by strings.

    Args:
        blob: the map as SentencePiece and `tokenizer.json` (there in base64) hold it.

    Raises:
        TokenizerError: the sizes do not fit.
    """

    def __init__(self, blob: bytes) -> None:
        size = int.from_bytes(blob[:4], "little")
        if len(blob) < 5 or not size or size % 4 or 4 + size >= len(blob):
            raise TokenizerError(
                f"a character map of {len(blob)} bytes cannot hold a trie of {size}; the file is broken"
            )
        self.blob = blob
        self._units = array("I", blob[4 : 4 + size])
        if sys.byteorder == "big":
            self._units.byteswap()
        self._replacements = blob[4 + size :]
        self._single: dict[str, str | None] = {}
        self._begins: dict[str, bool] = {}

    def matches(self, key: bytes) -> tuple[list[tuple[int, int]], bool]:
        """(length, value) of each rule that `key` begins with, short ones first; and whether some rule goes on.

        Raises:
            TokenizerError: the trie points outside of itself.
        """
        found: list[tuple[int, int]] = []
        try:
            unit = self._units[0]
            at = _offset(unit)
            for length, byte in enumerate(key, start=1):
                if not byte:
                    return found, False
                at ^= byte
                unit = self._units[at]
                if unit & _LABEL != byte:
                    return found, False
                at ^= _offset(unit)
                if unit >> 8 & 1:
                    found.append((length, self._units[at] & 0x7FFFFFFF))
        except IndexError:
            raise TokenizerError(f"the character map's trie is broken at {key!r}; get the file again") from None
        return found, True

    def replacement(self, value: int) -> str:
        """The text that a rule's value stands for.

        Raises:
            TokenizerError: it is outside of the map, or not UTF-8.
        """
        end = self._replacements.find(0, value)
        if value >= len(self._replacements):
            raise TokenizerError(f"the character map has no replacement at {value}; get the file again")
        try:
            return self._replacements[value : end if end >= 0 else None].decode()
        except UnicodeDecodeError:
            raise TokenizerError(f"the character map's replacement at {value} is not UTF-8") from None

    def by_grapheme(self, text: str) -> str:
        """As Hugging Face's `Precompiled`: a short grapheme by the first rule it begins with, else its characters.

        So a letter with marks that no rule knows may lose the marks, if a rule knows the letter.
        """
        return "".join([self._grapheme(found) for found in _graphemes().findall(text)])

    def _grapheme(self, grapheme: str) -> str:
        if len(grapheme) == 1:
            return self._character(grapheme)
        if len(key := grapheme.encode()) < _SHORT_GRAPHEME and (found := self.matches(key)[0]):
            return self.replacement(found[0][1])
        return "".join(map(self._character, grapheme))

    def _character(self, character: str) -> str:
        replacement = self._single.get(character)
        if replacement is None:
            found, _ = self.matches(character.encode())
            replacement = self.replacement(found[0][1]) if found else character
            self._single[character] = replacement
        return replacement

    def longest_first(self, text: str) -> str:
        """As SentencePiece: at each place the longest rule that fits.

        Cost: a look-up a character; those that begin a rule cost a walk through the trie.
        """
        parts = []
        at = 0
        while at < len(text):
            character = text[at]
            key = text[at : at + _LONGEST_RULE].encode() if self._begins_rule(character) else b""
            found, _ = self.matches(key) if key else ([], False)
            if found:
                length, value = found[-1]
                parts.append(self.replacement(value))
                at += _num_characters(key[:length])
            else:
                parts.append(character)
                at += 1
        return "".join(parts)

    def _begins_rule(self, character: str) -> bool:
        begins = self._begins.get(character)
        if begins is None:
            found, goes_on = self.matches(character.encode())
            begins = self._begins[character] = bool(found) or goes_on
        return begins

    def keeps_spaces_apart(self) -> bool:
        """Whether no rule has a space beside something else, so that texts may be cut before a space."""
        alone = _offset(self._units[0]) ^ 0x20
        return all(at == alone for at, unit in enumerate(self._units) if unit & _LABEL == 0x20) and not (
            alone < len(self._units) and self._goes_on(alone)
        )

    def _goes_on(self, at: int) -> bool:
        children = at ^ _offset(self._units[at])
        return any(
            self._units[children ^ byte] & _LABEL == byte
            for byte in range(1, 256)
            if children ^ byte < len(self._units)
        )


def _num_characters(key: bytes) -> int:
    try:
        return len(key.decode())
    except UnicodeDecodeError:
        raise TokenizerError(f"the character map has a rule for {key!r}, which ends inside of a character") from None


def _offset(unit: int) -> int:
    return (unit >> 10) << ((unit & 0x200) >> 6)


def _graphemes() -> regex.Pattern[str]:
    import regex  # 13 ms, which few programs need

    return regex.compile(r"\X")
